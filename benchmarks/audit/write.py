"""The audit's tables as text, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from benchmarks.audit.attribute import AuditRow
from benchmarks.audit.tables import AuditTable
from sid import atomic

COLUMNS = ("implementation", "value", "deviation", "causes", "joint effect", "residue", "verdict", "note", "on")


def cells(row: AuditRow) -> tuple[str, ...]:
    """A row's texts, as `COLUMNS`."""
    causes = ", ".join(f"{cause} {part:+.3g}" for cause, part in row.causes.items())
    together = f"{row.together:+.2g}" if row.together and len(row.causes) > 1 else ""
    number = [
        "" if part is None else format(part, form)
        for part, form in ((row.value, ".8g"), (row.deviation, "+.3g"), (row.residue, "+.2g"))
    ]
    return (row.implementation, number[0], number[1], causes, together, number[2], row.verdict, row.note, row.label)


def text(tables: list[AuditTable]) -> str:
    """For a terminal: a row's causes and note stand on the line below it."""
    lines = []
    for table in tables:
        lines += ["", f"{table.title} [{table.unit}]"]
        width = max(len(row.implementation) for row in table.rows)
        for row in table.rows:
            name, value, deviation, causes, together, residue, verdict, note, label = cells(row)
            lines.append(f"  {name:<{width}}  {value:>13}  {deviation:>10}  {verdict:<11}  [{label}]")
            remarks = [causes and f"causes: {causes}", together and f"jointly {together}"]
            remarks += [residue and causes and f"residue {residue}", note]
            if any(remarks):
                lines.append(f"  {'':<{width}}  {'; '.join(remark for remark in remarks if remark)}")
    return "\n".join(lines) + "\n"


def markdown(tables: list[AuditTable]) -> str:
    parts = ["# Audit of metric implementations", ""]
    for table in tables:
        parts += [f"## {table.title}", "", f"Unit: {table.unit}", ""]
        parts += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        parts += ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells(row)) + " |" for row in table.rows]
        parts.append("")
    return "\n".join(parts)


def comma_separated(tables: list[AuditTable]) -> str:
    """All tables in one, with the title as the first column."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("table", *COLUMNS))
    writer.writerows((table.title, *cells(row)) for table in tables for row in table.rows)
    return buffer.getvalue()


def html(tables: list[AuditTable]) -> str:
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(loader=PackageLoader("benchmarks.audit", "."), autoescape=select_autoescape(("j2",)))
    return environment.get_template("page.html.j2").render(tables=tables, columns=COLUMNS, cells=cells)


def write(tables: list[AuditTable], folder: Path, name: str = "audit") -> list[Path]:
    """Writes NAME.md, NAME.csv and NAME.html; returns their paths."""
    made = {"md": markdown(tables), "csv": comma_separated(tables), "html": html(tables)}
    for extension, content in made.items():
        atomic.write_text(folder / f"{name}.{extension}", content)
    return [folder / f"{name}.{extension}" for extension in made]

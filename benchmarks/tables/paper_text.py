"""A filled paper table as Markdown, LaTeX, csv and HTML, in the paper's own shape. Equal tables give equal bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

from benchmarks.tables.filled import GROUP, LEGEND, FilledCell, FilledGroup, FilledTable
from benchmarks.tables.sheet import SheetColumn
from benchmarks.tables.typeset import markdown_safe, tex

SUFFIXES = (".md", ".tex", ".csv", ".html")
BAR = " | "
ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
TWO = r"r@{\,}l"  # a column of numbers: what is printed, and what is reproduced
PAGE = 45  # lines of a table that fit a page
PACKAGES = r"% needs \usepackage{amssymb,booktabs,graphicx}"
# The table as it is, or as wide as the text where it is wider.
FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;color-scheme:light dark}"
    "table{border-collapse:collapse;border-top:2px solid;border-bottom:2px solid}"
    "caption{text-align:left;padding:0 0 .6em}td,th{padding:.15em .7em;text-align:left;font-weight:normal}"
    "td.number,th.number{text-align:right}tbody{border-top:1px solid}thead th{font-weight:600}"
    "th.over{text-align:center;border-bottom:1px solid}.reason{opacity:.65;font-style:italic}"
)


def written(table: FilledTable) -> dict[str, str]:
    """The table's text by the suffix of its file."""
    made = (as_markdown(table), as_latex(table), as_csv(table), as_page(table))
    return dict(zip(SUFFIXES, made, strict=True))


def as_markdown(table: FilledTable) -> str:
    """One table with its caption, and below it where its numbers were read."""
    names = [markdown_safe(_heading(name, column)) for name, column in table.columns]
    lines = [names, *([_md_cell(cell) for cell in row] for row in _spelled(table))]
    widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
    rule = ["-" * width for width in widths]
    parts = [f"# {markdown_safe(table.table.title)}", "", markdown_safe(table.table.sheet.caption), ""]
    for line in (lines[0], rule, *lines[1:]):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        parts.append(f"| {BAR.join(padded)} |")
    return "\n".join(
        [*parts, "", LEGEND.replace("|", r"\|"), "", *(f"- {markdown_safe(note)}" for note in table.notes), ""]
    )


def as_index(title: str, tables: Sequence[FilledTable]) -> str:
    """The list of a suite's paper tables: how many numbers of each are printed, open and reproduced."""
    parts = [
        f"# {markdown_safe(title)}: tables of papers",
        "",
        "| table | printed | open | reproduced |",
        "|---|---:|---:|---:|",
    ]
    for table in tables:
        counts = BAR.join(str(count) for count in table.counts)
        parts.append(f"| [{markdown_safe(table.table.title)}]({table.table.name}.md) | {counts} |")
    return "\n".join([*parts, ""])


def _heading(name: str, column: SheetColumn) -> str:
    return " ".join(filter(None, (column.over, column.label or name))) + ARROWS[column.better]


def _spelled(table: FilledTable) -> Iterator[Sequence[str | FilledCell]]:
    """Its rows with a row for each heading of a group, and without the texts that a row shares with the one above."""
    in_column = any(name == GROUP for name, _ in table.columns)
    for group in table.groups:
        if group.name and not in_column:
            yield [group.name, *([""] * (len(table.columns) - 1))]
        yield from shared_once(table, group)


def shared_once(table: FilledTable, group: FilledGroup) -> Iterator[Sequence[str | FilledCell]]:
    """A group's rows; its name, and a label that comes several times in a row, are printed once."""
    above: Sequence[str | FilledCell] = ()
    for row in group.rows:
        once = {
            place
            for place, (name, _) in enumerate(table.columns)
            if above and (name == GROUP or (name == "method" and row[place] == above[place]))
        }
        above = row
        yield ["" if place in once else cell for place, cell in enumerate(row)]


def _md_cell(cell: str | FilledCell) -> str:
    if isinstance(cell, str):
        return markdown_safe(cell)
    printed = f"**{markdown_safe(cell.printed)}**" if cell.best else markdown_safe(cell.printed)
    return rf"{printed} \| {markdown_safe(cell.reproduced)}" if cell.reproduced else printed


def as_csv(table: FilledTable) -> str:
    """Two columns for each column of numbers: printed and reproduced. Every row names its group."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header: list[str] = [] if any(name == GROUP for name, _ in table.columns) else [GROUP]
    for name, column in table.columns:
        header += [name, f"{name} reproduced"] if column.metric else [name]
    writer.writerow(header)
    for group in table.groups:
        for row in group.rows:
            cells = [group.name] if header[0] == GROUP and table.columns[0][0] != GROUP else []
            for cell in row:
                cells += [cell] if isinstance(cell, str) else [cell.printed, cell.reproduced]
            writer.writerow(cells)
    return out.getvalue()


def as_latex(table: FilledTable) -> str:
    """A booktabs table, scaled down where it is wider than the text; halves side by side where it is a page long."""
    title = f"{table.table.title}. {table.table.sheet.caption}".rstrip()
    lines = [PACKAGES, r"\begin{table}[ht]", r"\centering\small", rf"\caption{{{tex(title)} {tex(LEGEND)}}}", FITTED]
    for place, groups in enumerate(_halves(table.groups)):
        lines += [*([r"\quad"] if place else []), *_tabular(table, groups)]
    return "\n".join([*lines, "}", r"\end{table}", ""])


def _halves(groups: Sequence[FilledGroup]) -> list[Sequence[FilledGroup]]:
    """The groups, or two parts of them of about equal length."""
    lengths = [len(group.rows) + 1 for group in groups]
    if sum(lengths) <= PAGE or len(groups) < 2:
        return [groups]
    cut = min(range(1, len(groups)), key=lambda place: abs(sum(lengths[:place]) - sum(lengths[place:])))
    return [groups[:cut], groups[cut:]]


def _tabular(table: FilledTable, groups: Sequence[FilledGroup]) -> list[str]:
    columns = table.columns
    in_column = any(name == GROUP for name, _ in columns)
    heads = [tex((column.label or name) + ARROWS[column.better]) for name, column in columns]
    heads = [
        rf"\multicolumn{{2}}{{c}}{{{head}}}" if column.metric else head
        for head, (_, column) in zip(heads, columns, strict=True)
    ]
    lines = [
        rf"\begin{{tabular}}[t]{{@{{}}{''.join(TWO if column.metric else 'l' for _, column in columns)}@{{}}}}",
        r"\toprule",
        *_tex_over(table),
        " & ".join(heads) + r" \\",
    ]
    width = sum(_width(column) for _, column in columns)
    for group in groups:
        lines.append(r"\midrule")
        if group.name and not in_column:
            lines.append(rf"\multicolumn{{{width}}}{{@{{}}l}}{{\emph{{{tex(group.name)}}}}} \\")
        lines += [" & ".join(_tex_cell(cell) for cell in row) + r" \\" for row in shared_once(table, group)]
    return [*lines, r"\bottomrule", r"\end{tabular}%"]


def _tex_over(table: FilledTable) -> list[str]:
    """The line of headings that several columns share, with its rules."""
    widths = [_width(column) for _, column in table.columns]
    spans = [(over, sum(widths[:first]), sum(widths[first : first + count])) for over, first, count in _spans(table)]
    if not any(over for over, _, _ in spans):
        return []
    cells = [rf"\multicolumn{{{wide}}}{{c}}{{{tex(over)}}}" if over else " & " * (wide - 1) for over, _, wide in spans]
    rules = [rf"\cmidrule(lr){{{first + 1}-{first + wide}}}" for over, first, wide in spans if over]
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _width(column: SheetColumn) -> int:
    """How many columns of LaTeX's table it takes."""
    return 2 if column.metric else 1


def _spans(table: FilledTable) -> list[tuple[str, int, int]]:
    """Neighbouring columns under one heading: the heading, the first column's place, and how many there are."""
    spans: list[tuple[str, int, int]] = []
    for place, (_, column) in enumerate(table.columns):
        if spans and spans[-1][0] == column.over:
            over, start, count = spans[-1]
            spans[-1] = (over, start, count + 1)
        else:
            spans.append((column.over, place, 1))
    return spans


def _tex_cell(cell: str | FilledCell) -> str:
    if isinstance(cell, str):
        return tex(cell)
    printed = rf"\textbf{{{tex(cell.printed)}}}" if cell.best else tex(cell.printed)
    printed = rf"\emph{{{printed}}}" if cell.is_open else printed
    reproduced = tex(cell.reproduced) if cell.is_run else rf"\emph{{{tex(cell.reproduced)}}}"
    return rf"{printed} & $|$ {reproduced}" if cell.reproduced else f"{printed} & "


def as_page(table: FilledTable) -> str:
    """A page of its own, without scripts."""
    head = f'<meta charset="utf-8"><title>{escape(table.table.title)}</title><style>{STYLE}</style>'
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    body = f"{as_html(table)}<p>{escape(LEGEND)}</p><ul>{notes}</ul>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'


def as_html(table: FilledTable) -> Markup:
    """The table alone; every text is escaped."""
    sheet = table.table.sheet
    opening = Markup('<table class="paper"><caption><span><strong>{}</strong> {}</span></caption><thead>')
    lines = [opening.format(table.table.title, sheet.caption)]
    spans = _spans(table)
    if any(over for over, _, _ in spans):
        heads = [
            Markup('<th class="over" colspan="{}" scope="colgroup">{}</th>').format(count, over)
            if over
            else Markup('<td colspan="{}"></td>').format(count)
            for over, _, count in spans
        ]
        lines.append(Markup("<tr>{}</tr>").format(Markup("").join(heads)))
    names = [
        Markup('<th scope="col"{}>{}</th>').format(_number(column), (column.label or name) + ARROWS[column.better])
        for name, column in table.columns
    ]
    lines.append(Markup("<tr>{}</tr></thead>").format(Markup("").join(names)))
    in_column = any(name == GROUP for name, _ in table.columns)
    for group in table.groups:
        lines.append(Markup("<tbody>"))
        if group.name and not in_column:
            heading = Markup('<tr><th colspan="{}" scope="rowgroup"><em>{}</em></th></tr>')
            lines.append(heading.format(len(table.columns), group.name))
        lines += [_html_row(table, row) for row in shared_once(table, group)]
        lines.append(Markup("</tbody>"))
    return Markup("\n").join([*lines, Markup("</table>")])


def _number(column: SheetColumn) -> Markup:
    return Markup(' class="number"') if column.metric else Markup("")


def _html_row(table: FilledTable, row: Sequence[str | FilledCell]) -> Markup:
    cells = [
        Markup("<td{}>{}</td>").format(_number(column), _html_cell(cell))
        for (_, column), cell in zip(table.columns, row, strict=True)
    ]
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _html_cell(cell: str | FilledCell) -> Markup:
    if isinstance(cell, str):
        return escape(cell)
    printed = Markup("<strong>{}</strong>").format(cell.printed) if cell.best else escape(cell.printed)
    if cell.is_open:
        printed = Markup('<span class="reason">{}</span>').format(cell.printed)
    if not cell.reproduced:
        return printed
    shown = escape(cell.reproduced) if cell.is_run else Markup('<span class="reason">{}</span>').format(cell.reproduced)
    return Markup("{} | {}").format(printed, shown)

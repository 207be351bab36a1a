"""One suite's page: everything it shows, in one file that needs no network and no JavaScript."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks import verdict
from benchmarks.layout import Column, Layout, Task
from benchmarks.report import costs, curves, figure, provenance, samples, strip
from benchmarks.tables import Row, groups
from sid import atomic

HERE = Path(__file__).parent
ICONS = {
    verdict.REPRODUCED: "✓",
    verdict.CLOSE: "≈",
    verdict.OFF: "✕",
    verdict.INCOMPLETE: "◐",
    verdict.OUTDATED: "↻",
    verdict.UNREADABLE: "!",
    verdict.UNAVAILABLE: "–",
    verdict.NOT_RUN: "○",
    verdict.NO_TARGET: "·",
}
LEVELS = {
    "weights": "checked on real files",
    "layout": "checked on files of the real layout with made weights",
    "none": "not checked against published files",
}


@dataclass(frozen=True)
class Cell:
    """A row with what the page draws of it."""

    row: Row
    texts: dict[str, str]
    dots: strip.Dots | None
    provenance: provenance.Provenance


@dataclass(frozen=True)
class Table:
    column: Column
    cells: list[Cell]
    axis: strip.Axis | None

    @property
    def published(self) -> bool:
        return any(cell.row.published is not None for cell in self.cells)

    @property
    def reference(self) -> bool:
        return any(cell.row.reference is not None for cell in self.cells)


@dataclass(frozen=True)
class Section:
    """All of one task."""

    task: Task
    tables: list[Table]
    panel: curves.Panel
    multiples: Markup
    strips: list[samples.Strip]
    costs: list[costs.Cost]


def write(layout: Layout, rows: Sequence[Row], folder: Path) -> Path:
    """The page and its figure as files; returns the page's path."""
    sections, overview = _sections(layout, rows)
    panels = [section.panel for section in sections if section.panel.curves]
    page = folder / "index.html"
    if panels:
        atomic.write_text(folder / "figure.svg", figure.as_svg(figure.overview(panels)))
        atomic.write_bytes(folder / "figure.png", figure.as_png(figure.overview(panels)))
    atomic.write_text(page, _render(layout, rows, sections, overview))
    return page


def render(layout: Layout, rows: Sequence[Row]) -> str:
    """The page's text. Equal results give equal text."""
    return _render(layout, rows, *_sections(layout, rows))


def _sections(layout: Layout, rows: Sequence[Row]) -> tuple[list[Section], Markup]:
    known = provenance.environments(rows)
    places = curves.places(rows)
    tables: dict[str, list[Table]] = {}
    panels: dict[str, curves.Panel] = {}
    for task, column, group in groups(rows):
        axis = strip.axis_of(group)
        cells = [_cell(row, axis, known) for row in group]
        tables.setdefault(task.name, []).append(Table(column, cells, axis))
        panels.setdefault(task.name, curves.panel(group, places))
    sections: list[Section] = []
    for task in layout.tasks:
        if task.name not in tables:
            continue
        panel = panels[task.name]
        first = [cell.row for cell in tables[task.name][0].cells]
        many = Markup()
        if len(panel.curves) > 1:
            label = f"{task.title}: {panel.column.name} against training images, one entry a panel"
            many = Markup(figure.as_inline(figure.multiples(panel), f"m{len(sections)}", label))
        sections.append(
            Section(task, tables[task.name], panel, many, samples.strips(task, first), costs.of_task(first))
        )
    drawn = [section.panel for section in sections if section.panel.curves]
    if not drawn:
        return sections, Markup()
    label = f"{drawn[0].column.name} against training images on logarithmic axes, one panel a task"
    return sections, Markup(figure.as_inline(figure.overview(drawn), "f", label))


def _cell(row: Row, axis: strip.Axis | None, known: Sequence[provenance.Environment]) -> Cell:
    dots = strip.dots(row, axis) if axis is not None and row.values else None
    return Cell(row, row.texts(), dots, provenance.provenance(row, known))


def _render(layout: Layout, rows: Sequence[Row], sections: list[Section], overview: Markup) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "minus": lambda text: str(text).replace("-", "\N{MINUS SIGN}"),
        "slug": lambda word: str(word).split(":")[0].replace(" ", "-"),
        "count": lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "short": lambda value: f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}",
        "hours": _hours,
        "memory": lambda size: f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB",
    }
    tally = Counter(row.judgement.word for row in rows)
    return environment.get_template("page.html.j2").render(
        layout=layout,
        sections=sections,
        overview=overview,
        tally=[(word, tally[word]) for word in verdict.WORDS if tally[word]],
        total=len(rows),
        icons=ICONS,
        levels=LEVELS,
        rule=verdict.RULE,
        seeds=sorted({seed for row in rows for seed in row.line.digests if row.line.kind != "heldout"}),
        commits=sorted(
            {str(run.record["commit"])[:12] for row in rows for run in row.runs if run.record.get("commit")}
        ),
        dirty=any(run.record.get("dirty") for row in rows for run in row.runs),
        environments=provenance.environments(rows),
        shared=costs.of_shared(layout.shared),
        width=strip.WIDTH,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )


def _hours(hours: float) -> str:
    """Device time in the unit that a reader grasps."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"

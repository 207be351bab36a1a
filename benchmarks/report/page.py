"""One suite's page: everything it shows, in one file that needs no network and no JavaScript."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.report import audit, costs, figure, fronts, inline, provenance, samples, strip
from benchmarks.tables import verdict
from benchmarks.tables.layout import Column, Layout, Task
from benchmarks.tables.published import KINDS, Published
from benchmarks.tables.rows import Row, groups
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
    verdict.RANDOM: "?",
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
    panel: figure.Panel
    multiples: Markup
    front: fronts.Front | None
    plane: Markup  # the front's figure
    strips: list[samples.Strip]
    heads: list[str]
    costs: list[costs.Cost]
    printed: list[Published]  # numbers that no entry stands for


@dataclass(frozen=True)
class Beside:
    """What a page shows that is no cell: other printed numbers, and the audit of the metrics."""

    printed: Sequence[Published] = ()
    audits: Sequence[audit.Audit] = ()


NOTHING = Beside()


def write(layout: Layout, rows: Sequence[Row], folder: Path, beside: Beside = NOTHING) -> Path:
    """The page and its figures as files; returns the page's path."""
    sections, overview = _sections(layout, rows, beside)
    panels = [section.panel for section in sections if section.panel.curves]
    drawn = {f"front-{one.front.task}": fronts.drawn(one.front) for one in sections if one.front}
    if panels:
        drawn["figure"] = figure.overview(panels)
    for name, one in drawn.items():
        atomic.write_text(folder / f"{name}.svg", figure.as_svg(one))
        atomic.write_bytes(folder / f"{name}.png", figure.as_png(one))
    page = folder / "index.html"
    atomic.write_text(page, _render(layout, rows, sections, overview, beside))
    return page


def render(layout: Layout, rows: Sequence[Row], beside: Beside = NOTHING) -> str:
    """The page's text. Equal results give equal text."""
    return _render(layout, rows, *_sections(layout, rows, beside), beside)


def _sections(layout: Layout, rows: Sequence[Row], beside: Beside) -> tuple[list[Section], Markup]:
    known = provenance.environments(rows)
    levels = {f"{part.kind}:{part.name}": part.verified for part in layout.parts}
    listed = {recipe: number for number, recipe in enumerate(provenance.recipes(rows), start=1)}
    places = figure.places(rows)
    tables: dict[str, list[Table]] = {}
    panels: dict[str, figure.Panel] = {}
    for task, column, group in groups(rows):
        axis = strip.axis_of(group)
        cells = [_cell(row, axis, provenance.provenance(row, known, levels, listed)) for row in group]
        tables.setdefault(task.name, []).append(Table(column, cells, axis))
        panels.setdefault(task.name, figure.panel(group, places))
    sections: list[Section] = []
    for task in layout.tasks:
        if task.name not in tables:
            continue
        printed = [one for one in beside.printed if one.task == task.name]
        sections.append(_section(task, tables[task.name], panels[task.name], rows, printed, len(sections)))
    drawn = [section.panel for section in sections if section.panel.curves]
    if not drawn:
        return sections, Markup()
    label = f"{drawn[0].column.name} against training images on logarithmic axes, one panel a task"
    return sections, Markup(inline.as_inline(figure.overview(drawn), "f", label))


def _section(
    task: Task,
    tables: list[Table],
    panel: figure.Panel,
    rows: Sequence[Row],
    printed: list[Published],
    number: int,
) -> Section:
    first = [cell.row for cell in tables[0].cells]
    many, plane = Markup(), Markup()
    if len(panel.curves) > 1:
        label = f"{task.title}: {panel.column.name} against training images, one entry a panel"
        many = Markup(inline.as_inline(figure.multiples(panel), f"m{number}", label))
    front = fronts.front(task, rows, printed)
    if front:
        label = f"{task.title}: {front.y.name} against {front.x.name}, one line a series"
        plane = Markup(inline.as_inline(fronts.drawn(front), f"p{number}", label))
    shown = samples.strips(task, first)
    heads = samples.heads(shown) if shown else []
    return Section(task, tables, panel, many, front, plane, shown, heads, costs.of_task(first), printed)


def _cell(row: Row, axis: strip.Axis | None, source: provenance.Provenance) -> Cell:
    dots = strip.dots(row, axis) if axis is not None and row.values else None
    return Cell(row, row.texts(), dots, source)


def _render(layout: Layout, rows: Sequence[Row], sections: list[Section], overview: Markup, beside: Beside) -> str:
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
        drawn_lines=_drawn_lines(sections),
        tally=[(word, tally[word]) for word in verdict.WORDS if tally[word]],
        total=len(rows),
        icons=ICONS,
        levels=LEVELS,
        kinds=KINDS,
        audits=beside.audits,
        audited=audit.SHOWN,
        random=any(row.random for row in rows),
        rule=verdict.RULE,
        seeds=sorted({seed for row in rows for seed in row.line.digests if row.line.kind != "heldout"}),
        commits=sorted(
            {str(run.record["commit"])[:12] for row in rows for run in row.runs if run.record.get("commit")}
        ),
        dirty=any(run.record.get("dirty") for row in rows for run in row.runs),
        environments=provenance.environments(rows),
        recipes=provenance.recipes(rows),
        shared=costs.of_shared(layout.shared),
        width=strip.WIDTH,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((HERE / "page.js").read_text(encoding="utf-8")),
    )


def _drawn_lines(sections: Sequence[Section]) -> dict[str, bool]:
    """Which kinds of lines the figures have, for their caption to name."""
    panels = [section.panel for section in sections if section.panel.curves]
    found = {kind: any(kind in panel.lines for panel in panels) for kind in ("teacher", "heldout")}
    return found | {"published": any(curve.published for panel in panels for curve in panel.curves)}


def _hours(hours: float) -> str:
    """Device time in the unit that a reader grasps."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"

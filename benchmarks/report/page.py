"""The page of a suite: one HTML file that needs no network and no JavaScript."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.report import audit, costs, curves, drawing, fronts, matrix, provenance, samples, strip
from benchmarks.report.claims import ClaimSection
from benchmarks.tables import controls, paper_text, verdict
from benchmarks.tables.across import Across
from benchmarks.tables.filled import LEGEND, FilledTable
from benchmarks.tables.layout import Layout, TableColumn, TableTask
from benchmarks.tables.published import KINDS, Published
from benchmarks.tables.recipes import RecipeNote
from benchmarks.tables.rows import Row, groups, table_notes
from benchmarks.tables.summary import summary
from sid import atomic
from sid.discovery import VERIFIED

TEMPLATES_DIR = Path(__file__).parent
SIGN = re.compile(r"(?<!\w)-(?=\d)")  # of a number; a hyphen in a name stays one
ICONS = {
    verdict.REPRODUCED: "✓",
    verdict.CLOSE: "≈",
    verdict.OFF: "✕",
    verdict.ONE_SEED: "○",
    verdict.PASSED: "✓",
    verdict.FAILED: "✕",
    verdict.INCOMPLETE: "◐",
    verdict.OUTDATED: "↻",
    verdict.UNREADABLE: "!",
    verdict.UNAVAILABLE: "–",
    verdict.NOT_RUN: "○",
    verdict.RANDOM: "?",
    verdict.NO_TARGET: "·",
}


@dataclass(frozen=True)
class Cell:
    """A row with its texts, its dots and its provenance."""

    row: Row
    texts: dict[str, str]
    anchor: str
    tip: str
    dots: strip.Dots | None
    provenance: provenance.Provenance


@dataclass(frozen=True)
class Table:
    """One task and metric."""

    column: TableColumn
    cells: list[Cell]
    axis: strip.Axis | None
    notes: list[str]

    @property
    def published(self) -> bool:
        return any(cell.row.published is not None for cell in self.cells)

    @property
    def reference(self) -> bool:
        return any(cell.row.reference is not None for cell in self.cells)


@dataclass(frozen=True)
class Section:
    """All of one task."""

    task: TableTask
    matrix: matrix.Matrix
    tables: list[Table]
    panel: curves.Panel
    figure: Markup  # all methods of its first metric along their training
    multiples: list[Markup]  # one entry each
    front: fronts.TaskFront | None
    plane: Markup  # the front's figure
    small_plane: Markup  # the same for the first screen, of a task without curves
    strips: list[samples.Strip]
    heads: list[str]
    costs: costs.CostTable
    printed: list[Published]  # numbers of methods that are no entry


@dataclass(frozen=True)
class PaperTables:
    """A paper's own tables, printed beside reproduced."""

    name: str
    tables: Sequence[FilledTable]

    @property
    def counts(self) -> list[int]:
        """How many of its numbers are printed here, open, and reproduced."""
        return [sum(column) for column in zip(*(table.counts for table in self.tables), strict=True)]


@dataclass(frozen=True)
class Extras:
    """Shown beside the cells: printed numbers of methods that are no entry, the metrics' audit, where settings come
    from, the papers' claims and tables, and the suite's table over several tasks."""

    printed: Sequence[Published] = ()
    audits: Sequence[audit.Audit] = ()
    notes: Mapping[tuple[str, str], RecipeNote] = field(default_factory=dict)  # by task and entry
    claims: ClaimSection = field(default_factory=ClaimSection)
    papers: Sequence[FilledTable] = ()
    across: Across | None = None

    @property
    def by_paper(self) -> list[PaperTables]:
        """The filled tables, paper by paper."""
        grouped: dict[str, list[FilledTable]] = {}
        for table in self.papers:
            grouped.setdefault(table.table.sheet.paper, []).append(table)
        return [PaperTables(name, tables) for name, tables in grouped.items()]


NOTHING = Extras()


def write(layout: Layout, rows: Sequence[Row], folder: Path, extras: Extras = NOTHING) -> Path:
    """Writes the page and its figures as files into the folder; returns the page's path."""
    sections = _sections(layout, rows, extras)
    panels = [section.panel for section in sections if section.panel.curves]
    figures = {f"front-{its.front.task}": fronts.drawn(its.front) for its in sections if its.front}
    if panels:
        figures["figure"] = curves.overview(panels)
    for name, figure in figures.items():
        atomic.write_text(folder / f"{name}.svg", drawing.as_svg(figure))
        atomic.write_bytes(folder / f"{name}.png", drawing.as_png(figure))
    page = folder / "index.html"
    atomic.write_text(page, _render(layout, rows, sections, extras))
    return page


def render(layout: Layout, rows: Sequence[Row], extras: Extras = NOTHING) -> str:
    """The page's text. Equal results give equal text."""
    return _render(layout, rows, _sections(layout, rows, extras), extras)


def _sections(layout: Layout, rows: Sequence[Row], extras: Extras) -> list[Section]:
    known = provenance.environments(rows)
    levels = {f"{used.kind}:{used.name}": used.verified for used in layout.components}
    listed = {recipe: number for number, recipe in enumerate(provenance.recipes(rows), start=1)}
    places = curves.places(rows)
    tables: dict[str, list[Table]] = {}
    panels: dict[str, curves.Panel] = {}
    for task, column, group in groups(rows):
        axis = strip.axis_of(group)
        cells = [_cell(row, axis, provenance.provenance(row, known, levels, listed)) for row in group]
        tables.setdefault(task.name, []).append(Table(column, cells, axis, table_notes(group)))
        panels.setdefault(task.name, curves.panel(group, places))
    sections: list[Section] = []
    for task in layout.tasks:
        if task.name not in tables:
            continue
        printed = [number for number in extras.printed if number.task == task.name]
        sections.append(_section(task, tables[task.name], panels[task.name], rows, printed, len(sections)))
    return sections


def _section(
    task: TableTask,
    tables: list[Table],
    panel: curves.Panel,
    rows: Sequence[Row],
    printed: list[Published],
    number: int,
) -> Section:
    first = [cell.row for cell in tables[0].cells]
    figure, plane, small_plane = Markup(), Markup(), Markup()
    many: list[Markup] = []
    if panel.curves:
        label = f"{task.title}: {panel.column.name} against training images on logarithmic axes, one line a method"
        figure = Markup(drawing.as_inline(curves.alone(panel), f"f{number}", label, curves.tips(panel)))
    if len(panel.curves) > 1:
        for place, curve in enumerate(panel.curves):
            label = f"{task.title}: {panel.column.name} of {curve.label} against training images"
            many.append(Markup(drawing.as_inline(curves.small(panel, curve), f"m{number}-{place}", label)))
    front = fronts.front(task, rows, printed)
    if front:
        label = f"{task.title}: {front.y.name} against {front.x.name}, one line a series"
        marks = fronts.tips(front)
        plane = Markup(drawing.as_inline(fronts.drawn(front), f"p{number}", label, marks))
        if not figure:
            small = fronts.drawn(front, curves.PANEL)
            small_plane = Markup(drawing.as_inline(small, f"s{number}", label, marks))
    shown = samples.strips(task, first)
    return Section(
        task=task,
        matrix=matrix.matrix([cell.row for table in tables for cell in table.cells]),
        tables=tables,
        panel=panel,
        figure=figure,
        multiples=many,
        front=front,
        plane=plane,
        small_plane=small_plane,
        strips=shown,
        heads=samples.heads(shown) if shown else [],
        costs=costs.table(costs.of_task(first)),
        printed=printed,
    )


def _cell(row: Row, axis: strip.Axis | None, source: provenance.Provenance) -> Cell:
    dots = strip.dots(row, axis) if axis is not None and row.values else None
    return Cell(row, row.texts(), matrix.anchor(row), matrix.tip(row), dots, source)


def _render(layout: Layout, rows: Sequence[Row], sections: list[Section], extras: Extras) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "minus": lambda text: SIGN.sub("\N{MINUS SIGN}", str(text)),
        "tight": lambda text: str(text).replace(" %", "\N{NO-BREAK SPACE}%").replace("± ", "±\N{NO-BREAK SPACE}"),
        "slug": lambda word: str(word).split(":")[0].replace(" ", "-"),
        "count": lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "short": lambda value: f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}",
        "paper_table": paper_text.as_html,
        "sentence": fronts.sentence,
    }
    return environment.get_template("page.html.j2").render(
        layout=layout,
        sections=sections,
        headline=summary(rows),
        icons=ICONS,
        levels=VERIFIED,
        kinds=KINDS,
        audits=extras.audits,
        claims=extras.claims,
        papers=extras.by_paper,
        paper_legend=LEGEND,
        across=extras.across,
        audited=audit.SHOWN,
        random=any(row.random for row in rows),
        rule=verdict.RULE,
        check_rule=controls.RULE,
        close_factor=verdict.CLOSE_FACTOR,
        seeds=sorted({seed for row in rows for seed in row.line.digests if row.line.kind != "heldout"}),
        commits=sorted(
            {str(run.record["commit"])[:12] for row in rows for run in row.runs if run.record.get("commit")}
        ),
        dirty=any(run.record.get("dirty") for row in rows for run in row.runs),
        environments=provenance.environments(rows),
        recipes=provenance.recipes(rows),
        recipe_notes=extras.notes,
        shared=costs.table(costs.of_shared(layout.shared), reach=False),
        width=strip.WIDTH,
        style=Markup((TEMPLATES_DIR / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES_DIR / "page.js").read_text(encoding="utf-8")),
    )

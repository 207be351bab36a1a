"""The page of a suite: one HTML file that needs no network and no JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from benchmarks.report import audit, costs, curves, drawing, fronts, provenance, samples, strip
from benchmarks.report.claims import ClaimSection
from benchmarks.tables import controls, paper_text, typeset, verdict
from benchmarks.tables.filled import LEGEND, FilledTable
from benchmarks.tables.layout import Layout, TableColumn, TableTask
from benchmarks.tables.published import KINDS, Published
from benchmarks.tables.recipes import RecipeNote
from benchmarks.tables.rows import Row, groups, table_notes
from sid import atomic
from sid.discovery import VERIFIED

TEMPLATES_DIR = Path(__file__).parent
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
    tables: list[Table]
    panel: curves.Panel
    multiples: Markup
    front: fronts.TaskFront | None
    plane: Markup  # the front's figure
    strips: list[samples.Strip]
    heads: list[str]
    costs: list[costs.Cost]
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
    from, the papers' claims and tables."""

    printed: Sequence[Published] = ()
    audits: Sequence[audit.Audit] = ()
    notes: Mapping[tuple[str, str], RecipeNote] = field(default_factory=dict)  # by task and entry
    claims: ClaimSection = field(default_factory=ClaimSection)
    papers: Sequence[FilledTable] = ()

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
    sections, overview = _sections(layout, rows, extras)
    panels = [section.panel for section in sections if section.panel.curves]
    figures = {f"front-{its.front.task}": fronts.drawn(its.front) for its in sections if its.front}
    if panels:
        figures["figure"] = curves.overview(panels)
    for name, figure in figures.items():
        atomic.write_text(folder / f"{name}.svg", drawing.as_svg(figure))
        atomic.write_bytes(folder / f"{name}.png", drawing.as_png(figure))
    page = folder / "index.html"
    atomic.write_text(page, _render(layout, rows, sections, overview, extras))
    return page


def render(layout: Layout, rows: Sequence[Row], extras: Extras = NOTHING) -> str:
    """The page's text. Equal results give equal text."""
    return _render(layout, rows, *_sections(layout, rows, extras), extras)


def _sections(layout: Layout, rows: Sequence[Row], extras: Extras) -> tuple[list[Section], Markup]:
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
    drawn = [section.panel for section in sections if section.panel.curves]
    if not drawn:
        return sections, Markup()
    label = f"{drawn[0].column.name} against training images on logarithmic axes, one panel a task"
    return sections, Markup(drawing.as_inline(curves.overview(drawn), "f", label))


def _section(
    task: TableTask,
    tables: list[Table],
    panel: curves.Panel,
    rows: Sequence[Row],
    printed: list[Published],
    number: int,
) -> Section:
    first = [cell.row for cell in tables[0].cells]
    many, plane = Markup(), Markup()
    if len(panel.curves) > 1:
        label = f"{task.title}: {panel.column.name} against training images, one entry a panel"
        many = Markup(drawing.as_inline(curves.multiples(panel), f"m{number}", label))
    front = fronts.front(task, rows, printed)
    if front:
        label = f"{task.title}: {front.y.name} against {front.x.name}, one line a series"
        plane = Markup(drawing.as_inline(fronts.drawn(front), f"p{number}", label))
    shown = samples.strips(task, first)
    heads = samples.heads(shown) if shown else []
    return Section(task, tables, panel, many, front, plane, shown, heads, costs.of_task(first), printed)


def _cell(row: Row, axis: strip.Axis | None, source: provenance.Provenance) -> Cell:
    dots = strip.dots(row, axis) if axis is not None and row.values else None
    return Cell(row, row.texts(), dots, source)


def _render(layout: Layout, rows: Sequence[Row], sections: list[Section], overview: Markup, extras: Extras) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "minus": lambda text: str(text).replace("-", "\N{MINUS SIGN}"),
        "slug": lambda word: str(word).split(":")[0].replace(" ", "-"),
        "count": lambda number: f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
        "short": lambda value: f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}",
        "hours": _hours,
        "paper_table": paper_text.as_html,
        "memory": lambda size: f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB",
    }
    return environment.get_template("page.html.j2").render(
        layout=layout,
        sections=sections,
        overview=overview,
        drawn_lines=_drawn_lines(sections),
        tally=typeset.tally(rows, of_controls=False),
        checks=typeset.tally(rows, of_controls=True),
        total=sum(not row.control for row in rows),
        icons=ICONS,
        levels=VERIFIED,
        kinds=KINDS,
        audits=extras.audits,
        claims=extras.claims,
        papers=extras.by_paper,
        paper_legend=LEGEND,
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
        shared=costs.of_shared(layout.shared),
        width=strip.WIDTH,
        style=Markup((TEMPLATES_DIR / "page.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES_DIR / "page.js").read_text(encoding="utf-8")),
    )


def _drawn_lines(sections: Sequence[Section]) -> dict[str, bool]:
    """Which kinds of lines the figures have; their caption explains those."""
    panels = [section.panel for section in sections if section.panel.curves]
    controls = {kind: any(kind in panel.lines for panel in panels) for kind in ("teacher", "heldout")}
    return controls | {"published": any(curve.published for panel in panels for curve in panel.curves)}


def _hours(hours: float) -> str:
    """Device time in hours, minutes or seconds."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"

"""The front of a task: two scores of each entry against each other, joined by series, beside printed numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from benchmarks.report.drawing import COLOURS, FAINT, INK, LEGEND, PAPER, SETTINGS, SOFT, STYLES, plain
from benchmarks.report.strip import LOG_FROM
from benchmarks.tables.layout import Line, TableColumn, TableTask
from benchmarks.tables.published import Published
from benchmarks.tables.rows import Row

Pair = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """One entry: both scores of every seed, and as printed."""

    label: str
    at: float | None  # place on its series' line, such as a guidance scale
    seeds: Mapping[int, Pair]  # the seeds that have both scores
    published: Pair | None = None

    @property
    def mean(self) -> Pair | None:
        if not self.seeds:
            return None
        return statistics.fmean(x for x, _ in self.seeds.values()), statistics.fmean(y for _, y in self.seeds.values())


@dataclass(frozen=True)
class Family:
    """Entries of one series, ordered along it."""

    name: str
    kind: str  # "series", "teacher", or "printed": numbers of methods that are no entry
    place: int  # among the families of kind "series": decides its colour
    points: tuple[Point, ...]


@dataclass(frozen=True)
class TaskFront:
    """Two columns of one task with the points of all its families."""

    task: str
    title: str
    x: TableColumn
    y: TableColumn
    families: tuple[Family, ...]

    @property
    def best(self) -> set[Pair]:
        """The means that no other mean dominates: at least as good in both scores and better in one."""
        means = [point.mean for family in self.families for point in family.points if point.mean is not None]
        signs = [1 if column.higher else -1 for column in (self.x, self.y)]

        def dominated(mean: Pair, other: Pair) -> bool:
            gains = [sign * (b - a) for sign, a, b in zip(signs, mean, other, strict=True)]
            return min(gains) >= 0 and max(gains) > 0

        return {mean for mean in means if not any(dominated(mean, other) for other in means)}


def front(task: TableTask, rows: Sequence[Row], printed: Iterable[Published] = ()) -> TaskFront | None:
    """The front of a task; None if its protocol names none, or if no entry has both scores.

    Args:
        task: the task; its `front` names the two columns.
        rows: the cells of the suite's tables.
        printed: numbers of methods that are no entry, to be shown beside the entries.
    """
    if task.front is None:
        return None
    columns = {column.name: column for column in task.columns}
    x, y = (columns[name] for name in task.front)
    cells = {(row.line.entry, row.column.name): row for row in rows if row.task.name == task.name}
    grouped: dict[tuple[str, bool], list[Point]] = {}
    for line in task.lines:
        if line.kind not in ("method", "teacher"):  # controls that fail would stretch the axes
            continue
        point = _point(line, cells[line.entry, x.name], cells[line.entry, y.name])
        if point.seeds or point.published:
            grouped.setdefault(_series(line), []).append(point)
    families: list[Family] = []
    for (name, teacher), points in grouped.items():
        place = sum(family.kind == "series" for family in families)
        ordered = tuple(sorted(points, key=lambda point: math.inf if point.at is None else point.at))
        families.append(Family(name, "teacher" if teacher else "series", place, ordered))
    beside = _beside(printed, x.name, y.name)
    if beside:
        families.append(Family("printed elsewhere", "printed", 0, beside))
    return TaskFront(task.name, task.title, x, y, tuple(families)) if families else None


def _series(line: Line) -> tuple[str, bool]:
    """The family's name, and whether it is the teacher's; an entry without a series is its own family."""
    if line.kind == "teacher":
        return line.series or "teacher", True
    return line.series or line.label, False


def _point(line: Line, x: Row, y: Row) -> Point:
    both = [seed for seed in x.values if seed in y.values]
    seeds = {seed: (x.values[seed], y.values[seed]) for seed in both}
    seeds = {seed: pair for seed, pair in seeds.items() if all(math.isfinite(value) for value in pair)}
    printed = (x.published.value, y.published.value) if x.published and y.published else None
    return Point(line.label, line.at, seeds, printed)


def _beside(printed: Iterable[Published], x: str, y: str) -> tuple[Point, ...]:
    """The printed numbers of methods that are no entry, if both scores are printed."""
    methods: dict[str, dict[str, Published]] = {}
    for row in printed:
        if row.metric in (x, y):
            methods.setdefault(row.entry, {}).setdefault(row.metric, row)
    return tuple(
        Point(both[x].method, None, {}, (both[x].value, both[y].value)) for both in methods.values() if len(both) == 2
    )


WIDTH, HEIGHT = 7.4, 4.6  # inches, without the legend
LEGEND_ROW = 0.22
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # after six families
SIGNS = (*MARKERS, "<", ">", "p", "h", "*", "d", "8", "H")  # for each printed number of no entry


@rc_context(SETTINGS)
def drawn(front: TaskFront) -> Figure:
    """All families of one task, the teacher's line behind the others, and a legend below."""
    names = [name for family in front.families for name in _names(family)]
    columns = max(1, min(4, int(72 * WIDTH / (40 + 4.9 * max(map(len, names))))))
    below = LEGEND_ROW * math.ceil(len(names) / columns)
    share = below / (HEIGHT + below)
    layout = ConstrainedLayoutEngine(rect=(0, share, 1, 1 - share))
    figure = Figure(figsize=(WIDTH, HEIGHT + below), layout=layout)
    axis = figure.subplots()
    _frame(axis, front)
    best = front.best
    handles = [_draw(axis, family, best) for family in front.families]
    figure.legend([handle for family in handles for handle in family], names, ncols=columns, **LEGEND)
    return figure


def _frame(axis: Axes, front: TaskFront) -> None:
    pairs = [pair for family in front.families for point in family.points for pair in _marks(point)]
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, which="major", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    axis.margins(0.09)
    for side, column, name in ((0, front.x, "x"), (1, front.y, "y")):
        values = [pair[side] for pair in pairs]
        if min(values) > 0 and max(values) / min(values) > LOG_FROM:
            axis.set(**{f"{name}scale": "log"})
            scale = axis.xaxis if side == 0 else axis.yaxis
            scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
            scale.set_major_formatter(lambda value, _: plain(value))
            scale.set_minor_formatter(lambda value, _: "")
        axis.set(**{f"{name}label": f"{column.name.upper()}, {column.better}"})
    axis.tick_params(which="both", length=2.5, width=0.5, labelsize=8)


def _marks(point: Point) -> list[Pair]:
    """Everything of a point that is drawn."""
    return [*point.seeds.values(), *filter(None, (point.mean, point.published))]


def _names(family: Family) -> list[str]:
    """The family's labels in the legend: its name, or those of the printed numbers, which have no line."""
    return [point.label for point in family.points] if family.kind == "printed" else [family.name]


def _draw(axis: Axes, family: Family, best: set[Pair]) -> list[Line2D]:
    """Draws a family; returns its handles for the legend, as `_names`."""
    colour, style, marker = _style(family)
    hollow: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": colour, "markersize": 5.2, "zorder": 4}
    if family.kind == "printed":
        signs = [SIGNS[place % len(SIGNS)] for place in range(len(family.points))]
        pairs = [_xy([point.published]) for point in family.points if point.published is not None]
        return [axis.plot(*pair, sign, **hollow)[0] for pair, sign in zip(pairs, signs, strict=True)]
    back = family.kind == "teacher"
    means = [point.mean for point in family.points if point.mean is not None]
    printed = [point.published for point in family.points if point.published is not None]
    axis.plot(*_xy(means), color=colour, linewidth=1.5, linestyle=style, zorder=2.5 if back else 3)
    axis.plot(*_xy(printed), color=colour, linewidth=0.7, linestyle=(0, (1, 1.8)), zorder=2)
    axis.plot(*_xy(printed), marker, **hollow)
    seeds = [pair for point in family.points for pair in point.seeds.values()]
    axis.plot(*_xy(seeds), marker, color=colour, alpha=0.35, markersize=3, markeredgewidth=0, zorder=3)
    for mean in means:
        size = 6 if mean in best else 4.4
        axis.plot(*_xy([mean]), marker, color=colour, markersize=size, markeredgewidth=0, zorder=5)
    for point in family.points:
        place = point.mean or point.published
        if point.at is not None and place is not None:
            text = f"{point.at:g}"
            axis.annotate(text, place, xytext=(4, 4), textcoords="offset points", fontsize=7.5, color=colour, zorder=6)
    return [Line2D([], [], color=colour, linewidth=1.5, linestyle=style, marker=marker, markersize=4.4)]


def _style(family: Family) -> tuple[str, Any, str]:
    """Colour, line style and marker."""
    if family.kind == "teacher":
        return INK, (0, (6, 2)), MARKERS[0]
    if family.kind == "printed":
        return SOFT, "", MARKERS[0]
    turn = family.place // len(COLOURS)
    return COLOURS[family.place % len(COLOURS)], STYLES[turn % len(STYLES)], MARKERS[turn % len(MARKERS)]


def _xy(pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]

"""The points of a front: two scores of each entry against each other, joined by series, beside what is printed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from benchmarks.report.figure import COLOURS, FAINT, INK, PAPER, SETTINGS, SOFT, STYLES, plain
from benchmarks.report.strip import LOG_FROM
from benchmarks.tables.layout import Column, Line, Task
from benchmarks.tables.published import Published
from benchmarks.tables.rows import Row

Pair = tuple[float, float]


@dataclass(frozen=True)
class Point:
    """One entry: every seed, and what the papers print of it."""

    label: str
    at: float | None  # where on its series' line, as a guidance scale
    seeds: Mapping[int, Pair]  # those that have both scores
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
    kind: str  # teacher: the line that others are seen against; printed: numbers that no entry stands for
    place: int  # among the methods' families: gives it its colour
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Front:
    """One task's two columns."""

    task: str
    title: str
    x: Column
    y: Column
    families: tuple[Family, ...]

    @property
    def best(self) -> set[Pair]:
        """The means that no other mean surpasses in both scores."""
        means = [point.mean for family in self.families for point in family.points if point.mean is not None]
        signs = [1 if column.higher else -1 for column in (self.x, self.y)]

        def surpassed(one: Pair, other: Pair) -> bool:
            gains = [sign * (b - a) for sign, a, b in zip(signs, one, other, strict=True)]
            return min(gains) >= 0 and max(gains) > 0

        return {one for one in means if not any(surpassed(one, other) for other in means)}


def front(task: Task, rows: Sequence[Row], printed: Iterable[Published] = ()) -> Front | None:
    """A task's front; None where its protocol names none, or nothing is there to draw."""
    if task.front is None:
        return None
    columns = {column.name: column for column in task.columns}
    x, y = (columns[name] for name in task.front)
    cells = {(row.line.entry, row.column.name): row for row in rows if row.task.name == task.name}
    grouped: dict[tuple[str, bool], list[Point]] = {}
    for line in task.lines:
        if line.kind not in ("method", "teacher"):  # what is meant to fail would squeeze the others into a corner
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
    return Front(task.name, task.title, x, y, tuple(families)) if families else None


def _series(line: Line) -> tuple[str, bool]:
    """The family's name, and whether it is the teacher's; an entry of no series stands alone."""
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
    """Numbers of methods that no entry stands for, where both are printed."""
    found: dict[str, dict[str, Published]] = {}
    for row in printed:
        if row.metric in (x, y):
            found.setdefault(row.entry, {}).setdefault(row.metric, row)
    return tuple(
        Point(both[x].method, None, {}, (both[x].value, both[y].value)) for both in found.values() if len(both) == 2
    )


SIZE = (7.4, 4.6)  # inches
# A label's place beside its mark, in points: the first that covers nothing is taken.
NEAR = ((5, 4), (5, -4), (-5, 4), (-5, -4), (0, 7), (0, -7))
OFFSETS = (*NEAR, *((2.2 * across, 2.2 * up) for across, up in NEAR), *((4 * across, 4 * up) for across, up in NEAR))
OUTSIDE = 1000  # as bad as so many things covered
PIECES = 24  # of a line between two marks


@rc_context(SETTINGS)
def drawn(front: Front) -> Figure:
    """All families of one task; the teacher's line first, for the others to lie upon."""
    figure = Figure(figsize=SIZE, layout="constrained", dpi=72)
    axis = figure.subplots()
    _frame(axis, front)
    best = front.best
    for family in sorted(front.families, key=lambda family: family.kind != "teacher"):
        _draw(axis, family, best)
    FigureCanvasAgg(figure).draw()
    figure.set_layout_engine("none")  # labels are placed on the final axes
    _place(axis, front.families)
    return figure


def _frame(axis: Axes, front: Front) -> None:
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
        axis.set(**{f"{name}label": _titled(column)})
    axis.tick_params(which="both", length=2.5, width=0.5, labelsize=8)


def _titled(column: Column) -> str:
    return f"{column.name.upper()}, {column.better}"


def _marks(point: Point) -> list[Pair]:
    """Everything of a point that is drawn."""
    return [*point.seeds.values(), *filter(None, (point.mean, point.published))]


def _draw(axis: Axes, family: Family, best: set[Pair]) -> None:
    colour, style = _style(family)
    means = [point.mean for point in family.points if point.mean is not None]
    printed = [point.published for point in family.points if point.published is not None]
    hollow: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": colour, "markersize": 5.2}
    if family.kind != "printed":
        axis.plot(*_xy(means), color=colour, linewidth=1.5, linestyle=style, zorder=3)
        axis.plot(*_xy(printed), color=colour, linewidth=0.7, linestyle=(0, (1, 1.8)), zorder=2)
    axis.plot(*_xy(printed), "o", markeredgewidth=1.0, zorder=4, **hollow)
    seeds = [pair for point in family.points for pair in point.seeds.values()]
    axis.plot(*_xy(seeds), "o", color=colour, alpha=0.35, markersize=3, markeredgewidth=0, zorder=3)
    for mean in means:
        axis.plot(*_xy([mean]), "o", color=colour, markersize=6 if mean in best else 4.4, markeredgewidth=0, zorder=5)


def _style(family: Family) -> tuple[str, Any]:
    if family.kind == "series":
        return COLOURS[family.place % len(COLOURS)], STYLES[family.place // len(COLOURS) % len(STYLES)]
    return (INK, (0, (6, 2))) if family.kind == "teacher" else (SOFT, "-")


def _xy(pairs: Iterable[Pair]) -> tuple[list[float], list[float]]:
    held = list(pairs)
    return [x for x, _ in held], [y for _, y in held]


def _place(axis: Axes, families: Iterable[Family]) -> None:
    """Each label where it covers no mark and no other label; where all places are taken, at the first."""
    families = list(families)
    taken = [_square(axis, pair) for family in families for point in family.points for pair in _marks(point)]
    for family in families:
        if family.kind != "printed":
            taken += _along(axis, [point.mean for point in family.points if point.mean is not None])
    for family in families:
        for anchors, text, bold in _labels(family):
            label = axis.annotate(
                text,
                anchors[0],
                textcoords="offset points",
                xytext=(0, 0),
                fontsize=8.5 if bold else 7.5,
                fontweight="bold" if bold else "normal",
                color=_style(family)[0],
                zorder=6,
            )
            taken.append(_free(axis, label, anchors, taken))


def _labels(family: Family) -> Iterator[tuple[list[Pair], str, bool]]:
    """Where on the series at each mark, and the series' name at one of them; a lone entry's own name."""
    shown = [(point, point.mean or point.published) for point in family.points]
    held = [(point, pair) for point, pair in shown if pair is not None]
    for point, pair in held:
        if point.at is not None:
            yield [pair], f"{point.at:g}", False
        elif len(held) > 1:
            yield [pair], point.label, False
    if family.kind != "printed":
        yield [pair for _, pair in reversed(held)], family.name, True
    elif len(held) == 1:
        yield [held[0][1]], held[0][0].label, False


def _free(axis: Axes, label: Annotation, anchors: Sequence[Pair], taken: list[Bbox]) -> Bbox:
    """Moves the label to its first free place, else to the one that covers least; tells what it covers there."""
    inside = axis.get_window_extent()
    found: list[tuple[int, int, Pair, Pair, Bbox]] = []
    for anchor, offset in product(anchors, OFFSETS):
        box = _moved(label, anchor, offset)
        outside = box.x0 < inside.x0 or box.x1 > inside.x1 or box.y0 < inside.y0 or box.y1 > inside.y1
        faults = sum(box.overlaps(other) for other in taken) + OUTSIDE * outside
        found.append((faults, len(found), anchor, offset, box))
        if not faults:
            break
    _, _, anchor, offset, box = min(found, key=lambda place: place[:2])
    _moved(label, anchor, offset)
    return box


def _moved(label: Annotation, anchor: Pair, offset: Pair) -> Bbox:
    across, up = offset
    label.xy = anchor
    label.set(
        position=offset,
        horizontalalignment="left" if across > 0 else "right" if across < 0 else "center",
        verticalalignment="bottom" if up > 0 else "top",
    )
    return label.get_window_extent()


def _square(axis: Axes, pair: Pair, half: float = 3.0) -> Bbox:
    """What a mark covers, in pixels."""
    x, y = axis.transData.transform(pair)
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _along(axis: Axes, means: list[Pair]) -> list[Bbox]:
    """What a series' line covers, as a row of small squares."""
    covered = []
    for one, other in pairwise(axis.transData.transform(pair) for pair in means):
        for share in (step / PIECES for step in range(1, PIECES)):
            x, y = one + share * (other - one)
            covered.append(Bbox.from_extents(x - 1, y - 1, x + 1, y + 1))
    return covered

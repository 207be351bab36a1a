"""The front of a task: two scores of each entry against each other, joined by series, beside printed numbers."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.report.drawing import COLOURS, FAINT, INK, PAPER, SETTINGS, SOFT, STYLES, plain
from benchmarks.report.labels import Box, beside
from benchmarks.report.strip import LOG_FROM
from benchmarks.tables.layout import Line, TableColumn, TableTask
from benchmarks.tables.published import Published
from benchmarks.tables.rows import Row
from benchmarks.tables.verdict import fixed

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


WIDTH, HEIGHT = 7.0, 4.5  # inches
MARGINS = {"left": 0.82, "right": 0.15, "bottom": 0.5, "top": 0.12}  # inches round the axes
MARKERS = ("o", "s", "D", "^", "v", "P", "X")  # after six families
SIGNS = (*MARKERS, "<", ">", "p", "h", "*", "d", "8", "H")  # for each printed number of no entry
NAME, NUMBER = 8.8, 7.5  # points: labels of series, and of places along them
ROOM = 0.1  # of the axes, on each side of the marks


@rc_context(SETTINGS)
def drawn(front: TaskFront, size: tuple[float, float] = (WIDTH, HEIGHT)) -> Figure:
    """All families of one task, each named beside its line, with arrows towards larger places along it."""
    figure = Figure(figsize=size)
    inner = (size[0] - MARGINS["left"] - MARGINS["right"], size[1] - MARGINS["bottom"] - MARGINS["top"])
    lower = (MARGINS["left"] / size[0], MARGINS["bottom"] / size[1])
    axis = figure.add_axes((*lower, inner[0] / size[0], inner[1] / size[1]))
    _frame(axis, front)
    for number, family in enumerate(front.families):
        _draw(axis, family, front.best, number)
    _name(axis, front)
    return figure


def tips(front: TaskFront) -> dict[str, str]:
    """What each entry's mark says, by the mark's id."""
    said = {}
    for number, family in enumerate(front.families):
        for place, point in enumerate(family.points):
            if point.mean is not None:
                both = ((front.x, 0), (front.y, 1))
                words = [
                    f"{column.name} {fixed(point.mean[side], column.decimals)} (seeds "
                    + ", ".join(f"{seed}: {fixed(pair[side], column.decimals)}" for seed, pair in point.seeds.items())
                    + ")"
                    for column, side in both
                ]
                said[f"mark-{number}-{place}"] = f"{point.label}: {'; '.join(words)}"
    return said


def sentence(front: TaskFront) -> str:
    """What is seen: how both scores move along the teacher's line and those of the first students."""
    moved = []
    for family in sorted(front.families, key=lambda family: family.kind != "teacher"):
        means = [(point.at, point.mean) for point in family.points if point.at is not None and point.mean is not None]
        if family.kind == "printed" or len(means) < 2:
            continue
        (first, begin), (last, end) = means[0], means[-1]
        parts = []
        for side, column in ((1, front.y), (0, front.x)):
            a, b = fixed(begin[side], column.decimals), fixed(end[side], column.decimals)
            move = f"stays at {a}" if a == b else f"{'rises' if end[side] > begin[side] else 'falls'} from {a} to {b}"
            pick = max if column.higher else min
            top = pick(means, key=lambda mean: mean[1][side])
            turn = f" (best at {top[0]:g})" if top[0] not in (first, last) else ""
            parts.append(f"{column.name.upper()} {move}{turn}")
        moved.append(f"{family.name} from {first:g} to {last:g}: {' and '.join(parts)}")
    if not moved:
        return ""
    more = f"; {len(moved) - 3} more lines are in the table below" if len(moved) > 3 else ""
    return f"Along the arrows, {'; '.join(moved[:3])}{more}."


def _frame(axis: Axes, front: TaskFront) -> None:
    pairs = [pair for family in front.families for point in family.points for pair in _marks(point)]
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, which="major", color=FAINT, linewidth=0.5)
    axis.set_axisbelow(True)
    for side, column, name in ((0, front.x, "x"), (1, front.y, "y")):
        values = [pair[side] for pair in pairs]
        low, high = min(values), max(values)
        if low > 0 and high / low > LOG_FROM:
            axis.set(**{f"{name}scale": "log"})
            scale = axis.xaxis if side == 0 else axis.yaxis
            scale.set_major_locator(LogLocator(subs=(1, 2, 5)))
            scale.set_major_formatter(lambda value, _: plain(value))
            scale.set_minor_formatter(lambda value, _: "")
            limits = (low / (high / low) ** ROOM, high * (high / low) ** ROOM)
        else:
            room = ROOM * ((high - low) or abs(high) or 1.0)
            limits = (low - room, high + room)
        axis.set(**{f"{name}lim": limits, f"{name}label": f"{column.name.upper()}, {column.better}"})
    axis.tick_params(which="both", length=2.5, width=0.5, labelsize=8)


def _points(axis: Axes, pair: Pair) -> Pair:
    """A place of the axes in points from the figure's corner."""
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    x, y = axis.transData.transform(pair)
    return float(x) * 72 / figure.dpi, float(y) * 72 / figure.dpi


def _name(axis: Axes, front: TaskFront) -> None:
    """The places along each line, then the families' names: each where it covers the least."""
    corners = axis.get_position()
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    wide, high = (72 * float(side) for side in figure.get_size_inches())
    within = Box(corners.x0 * wide, corners.y0 * high, corners.x1 * wide, corners.y1 * high)
    taken: list[Box] = []
    for family in front.families:
        for point in family.points:
            taken += [_round(_points(axis, pair), 3.5) for pair in _marks(point)]
        means = [_points(axis, mean) for _, mean in _line(family)]
        for (x, y), (to_x, to_y) in itertools.pairwise(means):
            count = 1 + int(math.hypot(to_x - x, to_y - y) / 4)
            steps = [step / count for step in range(count + 1)]
            taken += [_round((x + (to_x - x) * step, y + (to_y - y) * step), 2.0) for step in steps]
    for text, marks, size, colour in _labels(axis, front):
        box = beside(marks, text, size, taken, within)
        taken.append(box)
        share = (box.left / wide, (box.bottom + box.top) / 2 / high)
        weight: dict[str, Any] = {"fontweight": "bold"} if size == NAME else {}
        axis.annotate(
            text, share, xycoords="figure fraction", va="center", fontsize=size, color=colour, zorder=6, **weight
        )


def _labels(axis: Axes, front: TaskFront) -> list[tuple[str, list[Pair], float, str]]:
    """Every label with the marks that it may stand beside, its size and colour; the numbers first."""
    numbers: list[tuple[str, list[Pair], float, str]] = []
    names: list[tuple[str, list[Pair], float, str]] = []
    for family in front.families:
        colour = _style(family)[0]
        places = [(point, point.mean or point.published) for point in family.points]
        marked = [(point, _points(axis, place)) for point, place in places if place is not None]
        if family.kind == "printed":
            names += [(_short(point.label), [mark], NUMBER, colour) for point, mark in marked]
            continue
        numbers += [(f"{point.at:g}", [mark], NUMBER, colour) for point, mark in marked if point.at is not None]
        if marked:
            names.append((_short(family.name), [mark for _, mark in reversed(marked)], NAME, colour))
    return numbers + names


def _short(label: str, length: int = 30) -> str:
    return label if len(label) <= length else label[: length - 1].rstrip() + "…"


def _round(place: Pair, radius: float) -> Box:
    return Box(place[0] - radius, place[1] - radius, place[0] + radius, place[1] + radius)


def _line(family: Family) -> list[tuple[Point, Pair]]:
    """The means that the family's line joins."""
    if family.kind == "printed":
        return []
    return [(point, point.mean) for point in family.points if point.mean is not None]


def _marks(point: Point) -> list[Pair]:
    """Everything of a point that is drawn."""
    return [*point.seeds.values(), *filter(None, (point.mean, point.published))]


def _draw(axis: Axes, family: Family, best: set[Pair], number: int) -> None:
    """A family's line with its arrows, seeds, means and printed numbers."""
    colour, style, marker = _style(family)
    hollow: dict[str, Any] = {"markerfacecolor": PAPER, "markeredgecolor": colour, "markersize": 5.2, "zorder": 4}
    if family.kind == "printed":
        signs = [SIGNS[place % len(SIGNS)] for place in range(len(family.points))]
        for point, sign in zip(family.points, signs, strict=True):
            if point.published is not None:
                axis.plot(*_xy([point.published]), sign, **hollow)
        return
    means = [mean for _, mean in _line(family)]
    printed = [point.published for point in family.points if point.published is not None]
    axis.plot(*_xy(means), color=colour, linewidth=1.5, linestyle=style, zorder=2.5 if family.kind == "teacher" else 3)
    if all(point.at is not None for point in family.points):
        _arrows(axis, means, colour)
    axis.plot(*_xy(printed), color=colour, linewidth=0.7, linestyle=(0, (1, 1.8)), zorder=2)
    axis.plot(*_xy(printed), marker, **hollow)
    seeds = [pair for point in family.points for pair in point.seeds.values()]
    axis.plot(*_xy(seeds), marker, color=colour, alpha=0.35, markersize=3, markeredgewidth=0, zorder=3)
    for place, point in enumerate(family.points):
        if point.mean is not None:
            size = 6.5 if point.mean in best else 4.8
            gid = f"mark-{number}-{place}"
            axis.plot(*_xy([point.mean]), marker, color=colour, markersize=size, markeredgewidth=0, zorder=5, gid=gid)


def _arrows(axis: Axes, means: Sequence[Pair], colour: str) -> None:
    """A head in the middle of each segment, towards the larger place."""
    back = axis.transData.inverted()
    for begin, end in itertools.pairwise(means):
        (x, y), (to_x, to_y) = axis.transData.transform(begin), axis.transData.transform(end)
        tail, head = ((x + (to_x - x) * share, y + (to_y - y) * share) for share in (0.5, 0.58))
        shape: dict[str, Any] = {"arrowstyle": "-|>", "color": colour, "linewidth": 0, "mutation_scale": 17}
        axis.annotate("", back.transform(head), back.transform(tail), arrowprops=shape, zorder=4)


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

"""The points of a front: two scores of each entry against each other, joined by series, beside what is printed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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

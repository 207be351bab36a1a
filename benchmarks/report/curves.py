"""The points of the figure: scores against training images, by task, entry and seed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.tables.layout import Column, Kind
from benchmarks.tables.rows import Row

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """One entry's scores along its training."""

    entry: str
    label: str
    kind: Kind
    place: int  # among the suite's trained entries: gives it the same colour in every panel
    seeds: Mapping[int, Points]
    published: float | None = None  # what the papers print of its end

    @property
    def median(self) -> Points:
        """Over the seeds, where all of them were observed."""
        columns = [dict(points) for points in self.seeds.values()]
        common = sorted(set.intersection(*(set(column) for column in columns))) if columns else []
        return [(images, statistics.median(column[images] for column in columns)) for images in common]

    @property
    def final(self) -> float | None:
        return self.median[-1][1] if self.median else None


@dataclass(frozen=True)
class Panel:
    """One task and metric."""

    title: str
    column: Column
    curves: tuple[Curve, ...]
    lines: Mapping[str, tuple[str, float]]  # kind of control -> its label and median

    @property
    def medians(self) -> dict[int, list[float | None]]:
        """Images -> each curve's median there."""
        columns = [dict(curve.median) for curve in self.curves]
        return {images: [column.get(images) for column in columns] for images in sorted(set().union(*columns))}


def panel(rows: Sequence[Row], places: Mapping[str, int]) -> Panel:
    """The rows of one task and metric as a panel."""
    column = rows[0].column
    curves: list[Curve] = []
    lines: dict[str, tuple[str, float]] = {}
    for row in rows:
        if row.line.trains:
            seeds = {run.seed: _points(run.curve(), column.name) for run in row.runs}
            found = {seed: points for seed, points in seeds.items() if points}
            if found:
                line, printed = row.line, row.published.value if row.published else None
                curves.append(Curve(line.entry, line.label, line.kind, places[line.entry], found, printed))
        elif row.line.kind in ("teacher", "heldout"):
            finite = [value for value in row.values.values() if math.isfinite(value) and value > 0]
            if finite:
                lines[row.line.kind] = (row.line.label, statistics.median(finite))
    return Panel(rows[0].task.title, column, tuple(curves), lines)


def _points(curve: Sequence[Mapping[str, float]], metric: str) -> Points:
    """What a logarithmic figure can show."""
    shown = [(int(point["images"]), float(point[metric])) for point in curve if point.get(metric) is not None]
    return [(images, value) for images, value in shown if images > 0 and value > 0 and math.isfinite(value)]


def places(rows: Sequence[Row]) -> dict[str, int]:
    """Each trained entry's place among its kind, in the suite's order."""
    found: dict[str, int] = {}
    count = {"method": 0, "ablation": 0}
    for row in rows:
        if row.line.trains and row.line.entry not in found:
            found[row.line.entry] = count[row.line.kind]
            count[row.line.kind] += 1
    return found


def images_to(points: Points, higher: bool, factor: float = 1.1) -> int | None:
    """Training images at the first observed point within `factor` of the final score."""
    if not points:
        return None
    final = points[-1][1]
    for images, value in points:
        if value >= final / factor if higher else value <= final * factor:
            return images
    return None

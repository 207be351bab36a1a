"""The seeds of a row as dots on the table's axis, with the compared value and the range that counts as reproduced."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.tables.rows import Row

WIDTH, MARGIN = 150.0, 5.0
LOG_FROM = 5.0  # ratio of the largest to the smallest value from which the axis is logarithmic


@dataclass(frozen=True)
class Dots:
    """Positions along the axis, in units of the drawing."""

    seeds: tuple[float, ...]
    beyond: tuple[float, ...]  # seeds outside the axis, at its edge
    mean: float | None
    target: float | None
    band: tuple[float, float] | None  # start and width of the range that counts as reproduced


@dataclass(frozen=True)
class Axis:
    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """A value's position; values outside the axis are drawn at its edge."""
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (WIDTH - 2 * MARGIN) * min(max(share, 0.0), 1.0), 2)


def axis_of(rows: Sequence[Row]) -> Axis | None:
    """One axis for all rows of a table, from the methods and the teacher; None if no value is finite.

    A control that is meant to fail would take most of the axis, and a floor that is 0 but for rounding would forbid a
    logarithm; such values are drawn at the edge.
    """
    shown = [row for row in rows if row.line.kind in ("method", "teacher")] or rows
    values = [value for row in shown for value in row.values.values() if math.isfinite(value)]
    values += [row.target.value for row in shown if row.target is not None]
    if not values:
        return None
    low, high = min(values), max(values)
    if low == high:
        return Axis(low - 1, high + 1, False)
    return Axis(low, high, low > 0 and high / low > LOG_FROM)


def dots(row: Row, axis: Axis) -> Dots:
    target, allowed = row.target, row.judgement.allowed
    band = None
    if target is not None and allowed is not None:
        start, end = axis.at(target.value - allowed), axis.at(target.value + allowed)
        band = (start, round(max(end - start, 1.0), 2))
    finite = _finite(row.values.values())
    return Dots(
        tuple(axis.at(value) for value in finite if axis.low <= value <= axis.high),
        tuple(axis.at(value) for value in finite if not axis.low <= value <= axis.high),
        axis.at(row.mean) if row.mean is not None and math.isfinite(row.mean) else None,
        axis.at(target.value) if target is not None else None,
        band,
    )


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]

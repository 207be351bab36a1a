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
    """One axis for all rows of a table; None if no value is finite."""
    values = [value for row in rows for value in row.values.values() if math.isfinite(value)]
    values += [row.target.value for row in rows if row.target is not None]
    if not values:
        return None
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > LOG_FROM
    if low == high:
        return Axis(low - 1, high + 1, False)
    return Axis(low, high, logarithmic)


def dots(row: Row, axis: Axis) -> Dots:
    target, allowed = row.target, row.judgement.allowed
    band = None
    if target is not None and allowed is not None:
        start, end = axis.at(target.value - allowed), axis.at(target.value + allowed)
        band = (start, round(max(end - start, 1.0), 2))
    return Dots(
        tuple(axis.at(value) for value in _finite(row.values.values())),
        axis.at(row.mean) if row.mean is not None and math.isfinite(row.mean) else None,
        axis.at(target.value) if target is not None else None,
        band,
    )


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]

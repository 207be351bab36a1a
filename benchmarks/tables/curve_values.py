"""What a training curve says between and along its points."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

from benchmarks.tables.runs import Run


def at_images(run: Run, metric: str, images: float) -> float | None:
    """The curve's value, straight against the logarithm of the images between two points; None outside of them."""
    points = [(point["images"], point[metric]) for point in run.curve() if metric in point]
    for (left, low), (right, high) in pairwise(points):
        if left <= images <= right:
            share = (math.log(images) - math.log(left)) / (math.log(right) - math.log(left))
            return low + share * (high - low)
    return None


def slope(run: Run, metric: str) -> float | None:
    """Of the metric's logarithm against that of the images; None with fewer than three points above zero."""
    across, along = _logarithms(run, metric)
    return statistics.linear_regression(across, along).slope if len(across) > 2 else None


def straightness(run: Run, metric: str) -> float | None:
    """The share of the logarithm's variance that a straight line explains; None as for the slope."""
    across, along = _logarithms(run, metric)
    if len(across) < 3:
        return None
    return statistics.correlation(across, along) ** 2 if len(set(along)) > 1 else 0.0


def _logarithms(run: Run, metric: str) -> tuple[list[float], list[float]]:
    points = [(point["images"], point[metric]) for point in run.curve() if 0 < point.get(metric, 0) < math.inf]
    return [math.log(images) for images, _ in points], [math.log(value) for _, value in points]

"""Squared maximum mean discrepancies over all pairs, by blocks: memory never grows with N^2. Float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

ROWS = 2048

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cubic(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(x.y/d + 1)^3 for all pairs (Binkowski et al., 1801.01401, section 3)."""
    kernel = first @ second.T
    kernel /= first.shape[1]
    kernel += 1
    return kernel * kernel * kernel


def gaussian(sigma: float) -> Kernel:
    """exp(-|x-y|^2 / (2 sigma^2)) for all pairs."""

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
        return np.exp(squares / (-2 * sigma**2))

    return kernel


def polynomial(images: np.ndarray, reference: np.ndarray) -> float:
    """The unbiased U-statistic of the cubic kernel."""
    return unbiased(images, reference, cubic)


def unbiased(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    """Mean over distinct pairs within each set, minus twice the mean over pairs across."""
    count, other = len(first), len(second)
    within = _within(first, kernel)[0] / (count * (count - 1)) + _within(second, kernel)[0] / (other * (other - 1))
    return within - 2 * _across(first, second, kernel) / (count * other)


def biased(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    """The V-statistic: the pairs (x, x) count too."""
    within = sum(sum(_within(part, kernel)) / len(part) ** 2 for part in (first, second))
    return within - 2 * _across(first, second, kernel) / (len(first) * len(second))


def polynomial_subsets(
    images: np.ndarray, reference: np.ndarray, subsets: int, size: int, seed: int, reference_first: bool
) -> np.ndarray:
    """One unbiased value per random subset, drawn with numpy's RandomState as the peers draw."""
    draws = np.random.RandomState(seed)
    found = np.empty(subsets)
    for index in range(subsets):
        if reference_first:
            compared = reference[draws.choice(len(reference), size, replace=False)]
            chosen = images[draws.choice(len(images), size, replace=False)]
        else:
            chosen = images[draws.choice(len(images), size, replace=False)]
            compared = reference[draws.choice(len(reference), size, replace=False)]
        found[index] = unbiased(chosen, compared, cubic)
    return found


def blocks(features: np.ndarray, rows: int = ROWS) -> Iterator[np.ndarray]:
    """Row blocks in float64."""
    for first in range(0, len(features), rows):
        yield features[first : first + rows].astype(np.float64)


def _across(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    return float(sum(kernel(one, two).sum() for one in blocks(first) for two in blocks(second)))


def _within(features: np.ndarray, kernel: Kernel) -> tuple[float, float]:
    """Sums over ordered pairs of distinct images and over pairs (x, x); blocks above the diagonal stand for both."""
    total = same = 0.0
    for row, start in enumerate(range(0, len(features), ROWS)):
        one = features[start : start + ROWS].astype(np.float64)
        square = kernel(one, one)
        same += float(np.trace(square))
        total += float(square.sum() - np.trace(square))
        for two in blocks(features[(row + 1) * ROWS :]):
            total += 2 * float(kernel(one, two).sum())
    return total, same

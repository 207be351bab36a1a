"""Squared maximum mean discrepancies (MMD) over all pairs in float64, and the metrics KID and CMMD.

Pairs are summed by blocks, so that memory does not grow with N^2. A new metric of the family is a kernel, a function
(x [n, d], y [m, d]) -> [n, m], and a class that calls `unbiased_mmd` or `biased_mmd` with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score, feature_matrix, same_dimension, single_entry
from sid.fault import Fault

ROWS = 2048  # of a block

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


def cubic_mmd(images: np.ndarray, reference: np.ndarray) -> float:
    """KID: the unbiased MMD of the cubic kernel."""
    return unbiased_mmd(images, reference, cubic)


def unbiased_mmd(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    """The U-statistic: the mean over distinct pairs within each set, minus twice the mean over pairs across."""
    count, other = len(first), len(second)
    within = _within(first, kernel)[0] / (count * (count - 1)) + _within(second, kernel)[0] / (other * (other - 1))
    return within - 2 * _across(first, second, kernel) / (count * other)


def biased_mmd(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    """The V-statistic, in which the pairs (x, x) count too."""
    within = sum(sum(_within(part, kernel)) / len(part) ** 2 for part in (first, second))
    return within - 2 * _across(first, second, kernel) / (len(first) * len(second))


def cubic_mmd_of_subsets(
    images: np.ndarray, reference: np.ndarray, subsets: int, size: int, seed: int, reference_first: bool
) -> np.ndarray:
    """KID of each random subset, drawn with numpy's RandomState as other tools draw.

    Args:
        images: [N, d].
        reference: [M, d].
        subsets: their number.
        size: images in a subset.
        seed: of the draws.
        reference_first: whether a subset of the reference is drawn before that of the images.
    """
    draws = np.random.RandomState(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        if reference_first:
            compared = reference[draws.choice(len(reference), size, replace=False)]
            chosen = images[draws.choice(len(images), size, replace=False)]
        else:
            chosen = images[draws.choice(len(images), size, replace=False)]
            compared = reference[draws.choice(len(reference), size, replace=False)]
        values[index] = unbiased_mmd(chosen, compared, cubic)
    return values


def blocks(features: np.ndarray, rows: int = ROWS) -> Iterator[np.ndarray]:
    """Row blocks in float64."""
    for first in range(0, len(features), rows):
        yield features[first : first + rows].astype(np.float64)


def _across(first: np.ndarray, second: np.ndarray, kernel: Kernel) -> float:
    return float(sum(kernel(rows, columns).sum() for rows in blocks(first) for columns in blocks(second)))


def _within(features: np.ndarray, kernel: Kernel) -> tuple[float, float]:
    """Sums over ordered pairs of distinct images, and over pairs (x, x); a block above the diagonal counts twice."""
    total = same = 0.0
    for row, start in enumerate(range(0, len(features), ROWS)):
        block = features[start : start + ROWS].astype(np.float64)
        square = kernel(block, block)
        same += float(np.trace(square))
        total += float(square.sum() - np.trace(square))
        for columns in blocks(features[(row + 1) * ROWS :]):
            total += 2 * float(kernel(block, columns).sum())
    return total, same


class Kid(Metric):
    """Unbiased: the mean is 0 for equal distributions, so a value may be negative."""

    name = "kid"
    version = 1
    paper = "Binkowski et al., Demystifying MMD GANs, arXiv 1801.01401"
    verified = "layout"
    direction = "lower"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {
        "exact": {"subsets": 0},  # every pair, no random number
        "torch-fidelity": {"subsets": 100, "subset_size": 1000, "seed": 2020},
        "clean-fid": {"subsets": 100, "subset_size": 1000, "seed": 0, "reference_first": True, "shrink": True},
    }
    variant_extractors: ClassVar = {"clean-fid": "inception-clean"}
    by_code_points = frozenset({"torch-fidelity", "clean-fid"})

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        subsets: int = 0,
        subset_size: int = 1000,
        seed: int = 2020,
        reference_first: bool = False,
        shrink: bool = False,
        scale: float = 1.0,
    ) -> Score:
        """`scale` 1000 is how some papers print it; `reference_first` and `shrink` are clean-fid's drawing rule."""
        images, compared = (feature_matrix(single_entry(part, self.name), self.name) for part in (features, reference))
        same_dimension(images.shape[1], compared.shape[1])
        if subsets < 0 or subset_size < 2:
            raise Fault(f"kid: subsets of at least 2 images, or none (got {subsets} of {subset_size})")
        details: dict[str, Any] = {"count": len(images), "reference_count": len(compared), "scale": scale}
        if not subsets:
            return Score(scale * cubic_mmd(images, compared), {**details, "estimate": "all pairs"})
        smaller, warnings = min(len(images), len(compared)), []
        if smaller < subset_size:
            if not shrink:
                raise Fault(f"kid: subsets of {subset_size} can't be drawn from {smaller} images; give subset_size")
            warnings.append(f"subsets shrunk from {subset_size} to {smaller} images")
        drawn = cubic_mmd_of_subsets(images, compared, subsets, min(smaller, subset_size), seed, reference_first)
        details |= {"estimate": f"{subsets} subsets of {min(smaller, subset_size)}", "seed": seed}
        return Score(scale * float(drawn.mean()), {**details, "std": scale * float(drawn.std())}, tuple(warnings))


class Cmmd(Metric):
    """Unit-norm embeddings, sigma 10, times 1000; biased as published: the pairs (x, x) count."""

    name = "cmmd"
    version = 1
    paper = "Jayasumana et al., Rethinking FID, arXiv 2401.09603"
    verified = "layout"
    direction = "lower"
    features = ("clip-vit-l-14-336.image",)
    of_family = True
    variants: ClassVar = {"published": {"sigma": 10.0, "scale": 1000.0, "unbiased": False}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        sigma: float = 10.0,
        scale: float = 1000.0,
        unbiased: bool = False,
    ) -> Score:
        images, compared = (
            text_image.unit_length(single_entry(part, self.name), self.name) for part in (features, reference)
        )
        estimate = unbiased_mmd if unbiased else biased_mmd
        value = scale * estimate(images, compared, gaussian(sigma))
        details = {"count": len(images), "reference_count": len(compared), "sigma": sigma, "scale": scale}
        return Score(value, {**details, "estimate": "unbiased" if unbiased else "biased"})

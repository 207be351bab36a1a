"""The nearest-neighbour metrics precision, recall, density and coverage (PRDC), which share one computation.

A ball reaches from a point to its k-th neighbour. Precision and recall: Kynkaanniemi et al., 1904.06991, eq. 1-2.
Density and coverage: Naeem et al., 2002.09797, eq. 5-6. Distances are computed by blocks: no N x N matrix is in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from benchmarks.metrics.base import Metric, Score, feature_matrix, same_dimension, single_entry
from sid.fault import Fault

ROWS = 1024  # of a block
SNAP = 1e-12  # of the squared lengths: a smaller squared distance is rounding, and the points are equal


@dataclass(frozen=True)
class Prdc:
    """The four values for one k."""

    precision: float
    recall: float
    density: float
    coverage: float


_cached: dict[tuple, Prdc] = {}  # the last result: four metrics ask for the same one


def prdc(images: np.ndarray, reference: np.ndarray, k: int, strict: bool, half: bool = False) -> Prdc:
    """The four values of images against a reference, features [N, d] and [M, d].

    Args:
        images: features of the images.
        reference: features of the reference.
        k: which neighbour a ball reaches to.
        strict: whether a point on the rim is outside.
        half: whether features, distances and radii are rounded to float16.
    """
    images, reference = feature_matrix(images), feature_matrix(reference, "reference")
    same_dimension(images.shape[1], reference.shape[1])
    if k < 1:
        raise Fault(f"k must be at least 1 (got {k})")
    if k >= min(len(images), len(reference)):
        raise Fault(f"k = {k} neighbours need more than {k} images and reference images")
    key = (_digest(images), _digest(reference), k, strict, half)
    if key not in _cached:
        _cached.clear()
        if half:
            images, reference = (part.astype(np.float16).astype(np.float32) for part in (images, reference))
        _cached[key] = _prdc(images, reference, k, strict, half)
    return _cached[key]


def _prdc(images: np.ndarray, reference: np.ndarray, k: int, strict: bool, half: bool) -> Prdc:
    # A shift changes no distance, and around the middle the least digits cancel.
    middle = reference.mean(axis=0, dtype=np.float64)
    stored = _in_half if half else _as_it_is
    image_radii, reference_radii = stored(radii(images, k, middle)), stored(radii(reference, k, middle))
    within_reference = np.zeros(len(images), dtype=np.int64)  # in how many reference balls each image lies
    nearest = np.full(len(reference), np.inf)  # squared distance of each reference image to the nearest image
    recalled = np.zeros(len(reference), dtype=bool)
    inside = np.less if strict else np.less_equal
    for first in range(0, len(images), ROWS):
        rows = slice(first, first + ROWS)
        for second in range(0, len(reference), ROWS):
            columns = slice(second, second + ROWS)
            squares = stored(squared_distances(images[rows], reference[columns], middle))
            within_reference[rows] += inside(squares, reference_radii[columns]).sum(axis=1)
            recalled[columns] |= inside(squares, image_radii[rows, None]).any(axis=0)
            nearest[columns] = np.minimum(nearest[columns], squares.min(axis=0))
    return Prdc(
        precision=float((within_reference > 0).mean()),
        recall=float(recalled.mean()),
        density=float(within_reference.mean() / k),
        coverage=float(inside(nearest, reference_radii).mean()),
    )


def radii(features: np.ndarray, k: int, middle: np.ndarray) -> np.ndarray:
    """Squared distance of each point to its k-th neighbour without itself; each pair of blocks is computed once."""
    best = np.full((len(features), k + 1), np.inf)  # the smallest so far, with the point's distance to itself
    for first in range(0, len(features), ROWS):
        rows = slice(first, first + ROWS)
        for second in range(first, len(features), ROWS):
            columns = slice(second, second + ROWS)
            squares = squared_distances(features[rows], features[columns], middle)
            if first == second:
                np.fill_diagonal(squares, 0.0)
            else:
                best[columns] = _smallest(best[columns], squares.T, k)
            best[rows] = _smallest(best[rows], squares, k)
    return best.max(axis=1)


def _smallest(best: np.ndarray, squares: np.ndarray, k: int) -> np.ndarray:
    """The k + 1 smallest values of each row of both matrices."""
    return np.partition(np.concatenate([best, squares], axis=1), k, axis=1)[:, : k + 1]


def squared_distances(first: np.ndarray, second: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """|x-y|^2 for all pairs in float64; what is only rounding becomes 0, so that equal points are equal."""
    first, second = first - middle, second - middle
    lengths = np.add.outer(np.einsum("nd,nd->n", first, first), np.einsum("nd,nd->n", second, second))
    squares = first @ second.T
    squares *= -2
    squares += lengths
    lengths *= SNAP
    squares[squares < lengths] = 0.0
    return squares


def _in_half(squares: np.ndarray) -> np.ndarray:
    """The distances in float16: their order decides, and equal ones are equal."""
    return np.sqrt(squares).astype(np.float16)


def _as_it_is(squares: np.ndarray) -> np.ndarray:
    return squares


def _digest(features: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(features).data).hexdigest()


class _KynkaanniemiMetric(Metric):
    """`k`, `strict` and `half` as `prdc` explains them."""

    paper = "Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {
        "sid": {"k": 3, "strict": False},  # on Inception pool3, without the rounding of the next
        "sid-float16": {"k": 3, "strict": False, "half": True},  # StyleGAN's metrics and SiD's; 1 to 3 % apart
        "torch-fidelity": {"k": 3, "strict": False},  # on VGG16
        "torch-fidelity-inception": {"k": 3, "strict": False},  # with feature_extractor="inception-v3-compat"
        "prdc": {"k": 5, "strict": True},
    }
    variant_extractors: ClassVar = {"torch-fidelity": "vgg16.fc2_relu"}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 3,
        strict: bool = False,
        half: bool = False,
    ) -> Score:
        return _score(self, features, reference, k, strict, half)


class _NaeemMetric(Metric):
    """`k` and `strict` as `prdc` explains them."""

    paper = "Naeem et al., Reliable Fidelity and Diversity Metrics, arXiv 2002.09797"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {"prdc": {"k": 5, "strict": True}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 5,
        strict: bool = True,
    ) -> Score:
        return _score(self, features, reference, k, strict)


def _score(
    metric: Metric,
    features: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray] | None,
    k: int,
    strict: bool,
    half: bool = False,
) -> Score:
    """The field of `Prdc` that has the metric's name."""
    images, compared = single_entry(features, metric.name), single_entry(reference, metric.name)
    value = getattr(prdc(images, compared, k, strict, half), metric.name)
    details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
    return Score(value, {**details, "half": True} if half else details)


class Precision(_KynkaanniemiMetric):
    """The share of images that lie in a ball of the reference."""

    name = "precision"
    version = 1


class Recall(_KynkaanniemiMetric):
    """The share of the reference that lies in a ball of the images."""

    name = "recall"
    version = 1


class Density(_NaeemMetric):
    """In how many of the reference's balls an image lies, on average, over k."""

    name = "density"
    version = 1


class Coverage(_NaeemMetric):
    """The share of the reference's balls that contain an image."""

    name = "coverage"
    version = 1

"""Nearest-neighbour balls: precision, recall, density and coverage in one go, streamed so that N^2 is never held.

Precision and recall: Kynkaanniemi et al., 1904.06991, eq. 1-2. Density and coverage: Naeem et al., 2002.09797, eq. 5-6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks.metrics import frechet
from benchmarks.metrics.base import Metric, Score, only
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np


ROWS = 1024
SNAP = 1e-12  # of the squared lengths: squared distances below are equal points seen through rounding


@dataclass(frozen=True)
class Balls:
    """The four numbers for one k."""

    precision: float
    recall: float
    density: float
    coverage: float


_kept: dict[tuple, Balls] = {}


def balls(images: np.ndarray, reference: np.ndarray, k: int, strict: bool) -> Balls:
    """Of the images against the reference; the last result is kept, since four metrics ask for the same balls."""
    images, reference = frechet.check(images), frechet.check(reference, "reference")
    if images.shape[1] != reference.shape[1]:
        raise Fault(f"features of {images.shape[1]} and {reference.shape[1]} dimensions can't be compared")
    if k < 1:
        raise Fault(f"k must be at least 1 (got {k})")
    if k >= min(len(images), len(reference)):
        raise Fault(f"k = {k} neighbours need more than {k} images and reference images")
    key = (_digest(images), _digest(reference), k, strict)
    if key not in _kept:
        _kept.clear()
        _kept[key] = _balls(images, reference, k, strict)
    return _kept[key]


def _balls(images: np.ndarray, reference: np.ndarray, k: int, strict: bool) -> Balls:
    # Distances do not feel a shift, and cancellation is least around the middle.
    middle = reference.mean(axis=0, dtype=np.float64)
    image_radii, reference_radii = radii(images, k, middle), radii(reference, k, middle)
    within_reference = np.zeros(len(images), dtype=np.int64)  # in how many reference balls each image lies
    nearest = np.full(len(reference), np.inf)  # squared distance of each reference image to the nearest image
    recalled = np.zeros(len(reference), dtype=bool)
    inside = np.less if strict else np.less_equal
    for first in range(0, len(images), ROWS):
        rows = slice(first, first + ROWS)
        for second in range(0, len(reference), ROWS):
            columns = slice(second, second + ROWS)
            squares = squared_distances(images[rows], reference[columns], middle)
            within_reference[rows] += inside(squares, reference_radii[columns]).sum(axis=1)
            recalled[columns] |= inside(squares, image_radii[rows, None]).any(axis=0)
            nearest[columns] = np.minimum(nearest[columns], squares.min(axis=0))
    return Balls(
        precision=float((within_reference > 0).mean()),
        recall=float(recalled.mean()),
        density=float(within_reference.mean() / k),
        coverage=float(inside(nearest, reference_radii).mean()),
    )


def radii(features: np.ndarray, k: int, middle: np.ndarray) -> np.ndarray:
    """Squared distance of each point to its k-th neighbour, itself not counted; each pair of blocks is met once."""
    best = np.full((len(features), k + 1), np.inf)  # the smallest seen so far, a point's distance to itself among them
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
    """The k + 1 smallest of each row of both."""
    return np.partition(np.concatenate([best, squares], axis=1), k, axis=1)[:, : k + 1]


def squared_distances(first: np.ndarray, second: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """|x-y|^2 for all pairs in float64; what is only rounding is exactly 0, so that equal points are equal."""
    first, second = first - middle, second - middle
    lengths = np.add.outer(np.einsum("nd,nd->n", first, first), np.einsum("nd,nd->n", second, second))
    squares = first @ second.T
    squares *= -2
    squares += lengths
    lengths *= SNAP
    squares[squares < lengths] = 0.0
    return squares


def _digest(features: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(features).data).hexdigest()


class Precision(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "precision"
    version = 1
    paper = "Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {
        "sid": {"k": 3, "strict": False},  # on Inception pool3, in float16 there
        "torch-fidelity": {"k": 3, "strict": False},
        "prdc": {"k": 5, "strict": True},
    }

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 3,
        strict: bool = False,
    ) -> Score:
        images, compared = only(features, self.name), only(reference, self.name)
        found = balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.precision, details)


class Recall(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "recall"
    version = 1
    paper = "Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {
        "sid": {"k": 3, "strict": False},  # on Inception pool3, in float16 there
        "torch-fidelity": {"k": 3, "strict": False},
        "prdc": {"k": 5, "strict": True},
    }

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 3,
        strict: bool = False,
    ) -> Score:
        images, compared = only(features, self.name), only(reference, self.name)
        found = balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.recall, details)


class Density(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "density"
    version = 1
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
        images, compared = only(features, self.name), only(reference, self.name)
        found = balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.density, details)


class Coverage(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "coverage"
    version = 1
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
        images, compared = only(features, self.name), only(reference, self.name)
        found = balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.coverage, details)

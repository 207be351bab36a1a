"""FID-infinity: the distance for N -> infinity generated images, from FD_N = FD_inf + C/N, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks.metrics import frechet
from benchmarks.metrics.base import Metric, Score, feature_matrix, single_entry
from benchmarks.metrics.frechet import as_moments
from sid.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

WARN_BELOW = 5000  # images
INTERVAL = 1.96  # standard deviations on either side: 95 %


class FidInfinity(Metric):
    """Chong and Forsyth's line in 1/N; only the generated side is extrapolated, the reference stays as it is.

    The points are subsets of the same images, so the scatter around the line says nothing of other images.
    The interval therefore adds the variance of the distance that follows from the images' influence.
    """

    name = "fid-infinity"
    version = 2
    paper = "Chong and Forsyth, Effectively Unbiased FID and Inception Score, arXiv 1911.07023"
    verified = "layout"
    direction = "lower"
    features = ("inception-tf.pool3",)
    from_statistics = True
    variants: ClassVar = {"dgm-eval": {"points": 15, "full_rank": False}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray | frechet.Moments] | None = None,
        points: int = 15,
        seed: int = 0,
        bootstraps: int = 1000,
        full_rank: bool = True,
    ) -> Score:
        """Fits a line in 1/N to random subsets of `points` sizes; the interval of 95 % holds for this reference.

        Without `full_rank` the subsets begin at N/10 whatever the dimension, where the line in 1/N need not hold.
        """
        images = feature_matrix(single_entry(features, self.name))
        compared = as_moments(single_entry(reference, self.name), 1)
        counts = sizes(len(images), images.shape[1] if full_rank else 1, points)
        rng = np.random.default_rng(seed)
        distances = [
            frechet.distance(frechet.moments(images[rng.permutation(len(images))[:count]]), compared).value
            for count in counts[:-1]
        ]
        whole = frechet.moments(images)
        distances.append(frechet.distance(whole, compared).value)
        limit, slope = line(counts, distances)
        chosen = rng.integers(len(counts), size=(bootstraps, len(counts)))
        limits = [line(counts[pick], np.asarray(distances)[pick])[0] for pick in chosen if len(set(counts[pick])) > 2]
        of_line = float(np.std(limits))
        of_images = float(np.std(frechet.influence(images, whole, compared))) / len(images) ** 0.5
        half = INTERVAL * (of_line**2 + of_images**2) ** 0.5
        details = {
            "low": limit - half,
            "high": limit + half,
            "std_of_line": of_line,
            "std_of_images": of_images,
            "bias_constant": slope,
            "fd_n": distances[-1],
            "count": len(images),
            "sizes": counts.tolist(),
            "distances": distances,
            "seed": seed,
        }
        warnings = (f"{len(images)} images are few for the line in 1/N",) if len(images) < WARN_BELOW else ()
        return Score(limit, details, warnings)


def sizes(count: int, dimension: int, points: int) -> np.ndarray:
    """`points` sizes from min(5000, N/10) to N, but above d, so that a covariance of d dimensions has full rank."""
    smallest = max(min(5000, count // 10), dimension + 1)
    if points < 3 or smallest >= count:
        raise Fault(f"fid-infinity needs at least 3 sizes between {smallest} and {count} images; give more images")
    return np.linspace(smallest, count, points).astype(int)


def line(counts: Sequence[int] | np.ndarray, distances: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """(FD_inf, C) of FD_N = FD_inf + C/N by least squares."""
    design = np.stack([np.ones(len(counts)), 1 / np.asarray(counts, dtype=float)], axis=1)
    limit, slope = np.linalg.lstsq(design, np.asarray(distances), rcond=None)[0]
    return float(limit), float(slope)

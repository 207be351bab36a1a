"""FID-infinity: the distance at N -> infinity of generated images, from FD_N = FD_inf + C/N, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks import frechet
from benchmarks.metric import Metric, Score, only
from benchmarks.metrics.frechet import as_moments
from sid.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

WARN_BELOW = 5000


class FidInfinity(Metric):
    """Chong and Forsyth's line in 1/N; only the generated side is extrapolated, the reference stays as it is."""

    name = "fid-infinity"
    version = 1
    paper = "Chong and Forsyth, Effectively Unbiased FID and Inception Score, arXiv 1911.07023"
    verified = "layout"
    direction = "lower"
    features = ("inception-tf.pool3",)
    from_statistics = True
    variants: ClassVar = {"dgm-eval": {"points": 15}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray | frechet.Moments] | None = None,
        points: int = 15,
        seed: int = 0,
        bootstraps: int = 1000,
    ) -> Score:
        """Distances of random subsets of `points` sizes, a line in 1/N, its points resampled for the interval."""
        images = frechet.check(only(features, self.name))
        compared = as_moments(only(reference, self.name), 1)
        counts = sizes(len(images), images.shape[1], points)
        rng = np.random.default_rng(seed)
        found = [
            frechet.distance(frechet.moments(images[rng.permutation(len(images))[:count]]), compared).value
            for count in counts
        ]
        limit, slope = line(counts, found)
        chosen = rng.integers(len(counts), size=(bootstraps, len(counts)))
        drawn = [line(counts[pick], np.asarray(found)[pick])[0] for pick in chosen if len(set(counts[pick])) > 2]
        low, high = np.percentile(drawn, (2.5, 97.5))
        details = {
            "low": float(low),
            "high": float(high),
            "bias_constant": slope,
            "fd_n": found[-1],
            "count": len(images),
            "sizes": counts.tolist(),
            "distances": found,
            "seed": seed,
        }
        warned = f"{len(images)} images are few for the line in 1/N" if len(images) < WARN_BELOW else ""
        return Score(limit, details, (warned,) if warned else ())


def sizes(count: int, dimension: int, points: int) -> np.ndarray:
    """From min(5000, N/10), but above d so that every covariance has full rank, to N."""
    smallest = max(min(5000, count // 10), dimension + 1)
    if points < 3 or smallest >= count:
        raise Fault(f"fid-infinity needs at least 3 sizes between {smallest} and {count} images; give more images")
    return np.linspace(smallest, count, points).astype(int)


def line(counts: Sequence[int] | np.ndarray, distances: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """(FD_inf, C) of FD_N = FD_inf + C/N by least squares."""
    design = np.stack([np.ones(len(counts)), 1 / np.asarray(counts, dtype=float)], axis=1)
    limit, slope = np.linalg.lstsq(design, np.asarray(distances), rcond=None)[0]
    return float(limit), float(slope)

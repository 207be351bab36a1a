"""The Frechet distance of any one feature array, as a protocol names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks import frechet
from benchmarks.metrics.base import Metric, Score, only
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np

WARN_BELOW = 4  # images per dimension: under it the bias C/N is of the size of what is compared


class Frechet(Metric):
    """FD = |m1-m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); features and reference each hold one array or Moments."""

    name = "frechet"
    version = 1
    paper = "Heusel et al., GANs Trained by a Two Time-Scale Update Rule, arXiv 1706.08500"
    verified = "layout"
    direction = "lower"
    features: ClassVar[tuple[str, ...]] = ()  # any
    from_statistics = True
    variants: ClassVar = {"unbiased": {"ddof": 1}, "stylegan": {"ddof": 0}}

    def compute(
        self,
        features: Mapping[str, np.ndarray | frechet.Moments],
        reference: Mapping[str, np.ndarray | frechet.Moments] | None = None,
        ddof: int = 1,
    ) -> Score:
        if ddof not in (0, 1):
            raise Fault(f"{self.name}: ddof must be 0 or 1 (got {ddof})")
        images, compared = (as_moments(only(part, self.name), ddof) for part in (features, reference))
        found = frechet.distance(images, compared)
        details = {
            "mean_term": found.mean_term,
            "covariance_term": found.covariance_term,
            "clamped": found.clamped,
            "route": found.route,
            "count": images.count,
            "reference_count": compared.known_count,
            "dimension": images.dimension,
            "ddof": images.ddof,
        }
        return Score(found.value, details, sample_warnings(images, compared))


def as_moments(part: np.ndarray | frechet.Moments, ddof: int) -> frechet.Moments:
    """Moments as they are, features summarised."""
    return part if isinstance(part, frechet.Moments) else frechet.moments(part, ddof)


def sample_warnings(images: frechet.Moments, compared: frechet.Moments) -> tuple[str, ...]:
    """What a reader must know about too few images."""
    said = []
    if images.ddof != compared.ddof:
        said.append(f"ddof {images.ddof} of the images against ddof {compared.ddof} of the reference")
    count, dimension = min(images.count, compared.count), images.dimension
    if count <= dimension:
        said.append(
            f"rank-deficient: {count} images for {dimension} dimensions, the bias C/N dominates; "
            "kid is meaningful at this size, fid-infinity from a few times as many"
        )
    elif count < WARN_BELOW * dimension:
        said.append(f"{count} images for {dimension} dimensions: the bias C/N is large, compare equal N only")
    return tuple(said)

"""The one Frechet distance of the project: FD = |m1-m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), in float64.

With any root S1 = R R', the matrices S1 S2 and R' S2 R share their non-zero eigenvalues, and the latter is symmetric:
tr (S1 S2)^(1/2) = sum sqrt eig(R' S2 R) = |R1' R2|_nuclear. No complex number and no matrix square root is needed
(Heusel et al., 1706.08500, define FID by it; the identity is linear algebra). The route is chosen by what is safe:

* gram:     a set of N <= d images: its centred features are a root, and the singular values of R1' R2 lose nothing
* cholesky: full rank: a Cholesky root of the reference (kept for the next call), two triangular products, eigenvalues
* eigen:    rank-deficient statistics without features: roots from eigenvectors, then singular values
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks.metrics.base import Metric, Score, only
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np


CLAMP_LIMIT = 1e-6  # of the traces: more negative eigenvalue mass than this is no rounding error
LOST_LIMIT = 1e-8  # of the traces: what square roots of rounding noise may add before the exact route is taken
EPSILON = float(np.finfo(np.float64).eps)
UNKNOWN = 10**9  # the count of statistics that do not say theirs: more images than dimensions


@dataclass(frozen=True)
class Distance:
    """The value with its parts; never clipped: for equal sets it is a rounding error of either sign."""

    value: float
    mean_term: float
    covariance_term: float
    clamped: float  # negative eigenvalue mass that was set to zero
    route: str  # "gram" | "cholesky" | "eigen"


@dataclass
class Moments:
    """Mean and covariance of a feature set, with the root of the covariance once somebody has needed it."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int
    ddof: int = 1
    features: np.ndarray | None = None  # kept where N <= d: then they are the better root
    _cholesky: np.ndarray | None = field(default=None, repr=False)
    _eigen: tuple[np.ndarray, float] | None = field(default=None, repr=False)

    @property
    def dimension(self) -> int:
        return len(self.mean)

    @property
    def known_count(self) -> int | None:
        """How many images it summarises, None where that stands nowhere."""
        return self.count if self.count < UNKNOWN else None

    @property
    def rank_deficient(self) -> bool:
        return self.count <= self.dimension

    def cholesky(self) -> np.ndarray | None:
        """L with L L' = S, kept; None where S is singular to working precision."""
        if self._cholesky is None and not self.rank_deficient:
            try:
                lower = np.linalg.cholesky(self.covariance)
            except np.linalg.LinAlgError:
                return None
            smallest = np.diagonal(lower).min() ** 2
            if smallest > 10 * self.dimension * EPSILON * np.diagonal(self.covariance).max():
                self._cholesky = lower
        return self._cholesky

    def root(self) -> tuple[np.ndarray, float]:
        """R with R R' = S and as many columns as S has rank, and the negative eigenvalue mass left out."""
        if self.features is not None and self.rank_deficient:
            centred = self.features.astype(np.float64) - self.mean
            return centred.T / np.sqrt(self.count - self.ddof), 0.0
        lower = self.cholesky()
        if lower is not None:
            return lower, 0.0
        if self._eigen is None:
            values, vectors = np.linalg.eigh(self.covariance)
            kept = values > self.dimension * EPSILON * max(values[-1], 0.0)
            self._eigen = vectors[:, kept] * np.sqrt(values[kept]), float(-values[values < 0].sum())
        return self._eigen


def moments(features: np.ndarray, ddof: int = 1, rows: int = 4096, names: list[str] | None = None) -> Moments:
    """Mean and covariance in two passes of row blocks, so that float32 features are never copied whole."""
    features = check(features, names=names)
    count, dimension = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((dimension, dimension))
    for first in range(0, count, rows):
        centred = features[first : first + rows].astype(np.float64) - mean
        scatter += centred.T @ centred
    few = features if count <= dimension else None
    return Moments(mean, scatter / (count - ddof), count, ddof, few)


def merge(parts: Sequence[Moments]) -> Moments:
    """Moments of the union of shards, exactly (Chan et al., Updating formulae for sample variances, 1979)."""
    count = sum(part.count for part in parts)
    mean = np.sum([part.count * part.mean for part in parts], axis=0) / count
    scatter = np.zeros_like(parts[0].covariance)
    for part in parts:
        offset = part.mean - mean
        scatter += (part.count - part.ddof) * part.covariance + part.count * np.outer(offset, offset)
    return Moments(mean, scatter / (count - parts[0].ddof), count, parts[0].ddof)


def check(features: np.ndarray, what: str = "features", names: list[str] | None = None, fewest: int = 2) -> np.ndarray:
    """A finite matrix [N, d] with N >= `fewest`, or a sentence that names the image at fault."""
    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise Fault(f"{what} must be a matrix [images, dimensions], got shape {list(features.shape)}")
    if len(features) < fewest:
        raise Fault(f"{what}: a score of a set needs at least {fewest} images, got {len(features)}")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        told = ", ".join(names[index] if names else f"image {index}" for index in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise Fault(f"{what}: NaN or infinity for {told}{more}")
    return features


def distance(first: Moments, second: Moments) -> Distance:
    """Frechet distance of two sets; `second` is the reference, whose root is kept in it for the next call."""
    if first.dimension != second.dimension:
        raise Fault(f"features of {first.dimension} and {second.dimension} dimensions can't be compared")
    mean_term = float(np.sum((first.mean - second.mean) ** 2))
    traces = float(np.trace(first.covariance) + np.trace(second.covariance))
    clamped, route = 0.0, "cholesky"
    product = _cholesky_trace(first, second, traces)
    if product is None:
        few = any(side.features is not None and side.rank_deficient for side in (first, second))
        route = "gram" if few else "eigen"
        (root_1, lost_1), (root_2, lost_2) = first.root(), second.root()
        product = float(np.linalg.svd(root_1.T @ root_2, compute_uv=False).sum()), lost_1 + lost_2
    trace_of_root, clamped = product
    if clamped > CLAMP_LIMIT * traces:
        raise Fault(f"a covariance is not positive semi-definite: {clamped:.3g} of negative eigenvalues were found")
    covariance_term = traces - 2 * trace_of_root
    return Distance(mean_term + covariance_term, mean_term, covariance_term, clamped, route)


def _cholesky_trace(first: Moments, second: Moments, traces: float) -> tuple[float, float] | None:
    """(tr (S1 S2)^(1/2), clamped) by L' S1 L, or None where a matrix is too close to singular for it."""
    from scipy.linalg.blas import dtrmm

    if first.rank_deficient or second.rank_deficient:
        return None
    lower = second.cholesky()
    if lower is None:
        return None
    # dtrmm is given transposes: both numpy matrices are row-major, so L.T is an upper triangle in its order.
    right = dtrmm(1.0, lower.T, first.covariance.T, side=0, lower=0)  # L' S1
    values = np.linalg.eigvalsh(dtrmm(1.0, lower.T, right, side=1, lower=0, trans_a=1, overwrite_b=1))  # L' S1 L
    # Eigenvalues come with an error of about eps * max; the root of that is what a tiny one may contribute wrongly.
    noise = 4 * EPSILON * max(float(values[-1]), 0.0)
    if np.count_nonzero(values <= noise) * np.sqrt(noise) > LOST_LIMIT * traces:
        return None
    negative = values < 0
    # In units of the covariance, as the limit is: the root of the mass.
    clamped = float(np.sqrt(-values[negative].sum())) if negative.any() else 0.0
    return float(np.sqrt(values[~negative]).sum()), clamped


def influence(features: np.ndarray, first: Moments, second: Moments, rows: int = 4096) -> np.ndarray:
    """What each image adds to the distance, to first order: the mean is 0, the variance over N that of the distance.

    With the optimal map T = R (R' S1 R)^(-1/2) R' from S1 to S2 = R R', the distance's derivative is 2 (m1 - m2) by the
    mean and I - T by the covariance of the images.
    """
    root, _ = second.root()
    values, vectors = np.linalg.eigh(root.T @ first.covariance @ root)
    kept = values > len(values) * EPSILON * max(float(values[-1]), 0.0)
    half = root @ (vectors[:, kept] / values[kept] ** 0.25)
    slope = 2 * (first.mean - second.mean)
    found = np.empty(len(features))
    for start in range(0, len(features), rows):
        centred = features[start : start + rows].astype(np.float64) - first.mean
        quadratic = np.einsum("nd,nd->n", centred, centred) - ((centred @ half) ** 2).sum(axis=1)
        found[start : start + rows] = centred @ slope + quadratic
    return found - found.mean()


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
        features: Mapping[str, np.ndarray | Moments],
        reference: Mapping[str, np.ndarray | Moments] | None = None,
        ddof: int = 1,
    ) -> Score:
        if ddof not in (0, 1):
            raise Fault(f"{self.name}: ddof must be 0 or 1 (got {ddof})")
        images, compared = (as_moments(only(part, self.name), ddof) for part in (features, reference))
        found = distance(images, compared)
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


def as_moments(part: np.ndarray | Moments, ddof: int) -> Moments:
    """Moments as they are, features summarised."""
    return part if isinstance(part, Moments) else moments(part, ddof)


def sample_warnings(images: Moments, compared: Moments) -> tuple[str, ...]:
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


class Fid(Frechet):
    """Pool3 of Inception-2015 after the TF1-like resize without antialiasing."""

    name = "fid"
    version = 1
    features = ("inception-tf.pool3",)
    of_family = True
    variants: ClassVar = {
        "edm-fid50k": {"ddof": 1},  # EDM fid.py, sid_generate.py
        "sid-metrics": {"ddof": 0},  # StyleGAN metrics, SiD sid_metrics.py on both sides
    }


class FidClean(Frechet):
    """Pool3 of Inception-2015 after the clean resize."""

    name = "fid-clean"
    version = 1
    paper = "Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, arXiv 2104.11222"
    features = ("inception-clean.pool3",)
    of_family = True
    variants: ClassVar = {"clean-fid": {"ddof": 1}}


class FidPytorch(Frechet):
    """Pool3 of Inception-2015 after torch's bilinear resize."""

    name = "fid-pytorch"
    version = 1
    features = ("inception-torch.pool3",)
    of_family = True
    variants: ClassVar = {"pytorch-fid": {"ddof": 1}}


class FidAntialias(Frechet):
    """Pool3 of Inception-2015 after the antialiased bilinear resize."""

    name = "fid-antialias"
    version = 1
    features = ("inception-antialias.pool3",)
    of_family = True
    variants: ClassVar = {"torchmetrics": {"ddof": 1}}


class PatchFid(Frechet):
    """Sees the detail that a resize to 299 throws away (SDXL-Lightning, DMD2)."""

    name = "patch-fid"
    version = 1
    paper = "Lin et al., SDXL-Lightning, arXiv 2402.13929"
    features = ("inception-patch.pool3",)
    of_family = True
    variants: ClassVar = {"dmd2-sdxl": {"ddof": 1}}


class FdDinov2(Frechet):
    """1024 dimensions, 224 pixels, antialiased bicubic (EDM2's default) unless the protocol names another extractor."""

    name = "fd-dinov2"
    version = 1
    paper = "Stein et al., Exposing flaws of generative model evaluation metrics, arXiv 2306.04675"
    features = ("dinov2.cls",)
    of_family = True
    variants: ClassVar = {"edm2": {"ddof": 1}}

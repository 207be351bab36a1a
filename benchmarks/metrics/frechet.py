"""The Frechet distance FD = |m1-m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) in float64, and the metrics that it gives.

The metrics differ in their features only: a new one is a subclass of `Frechet` with `name`, `features` and `variants`.

With any root S1 = R R', the matrices S1 S2 and R' S2 R share their non-zero eigenvalues, and the latter is symmetric:
tr (S1 S2)^(1/2) = sum sqrt eig(R' S2 R) = |R1' R2|_nuclear. No complex number and no matrix square root is needed
(Heusel et al., 1706.08500, define FID by it; the identity is linear algebra). The route is chosen by what is safe:

* gram:     a set of N <= d images: its centred features are a root, and the singular values of R1' R2 lose nothing
* cholesky: full rank: a Cholesky root of the reference (cached for the next call), two triangular products, eigenvalues
* eigen:    rank-deficient statistics without features: roots from eigenvectors, then singular values
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from benchmarks.metrics.base import Metric, Score, feature_matrix, same_dimension, single_entry
from sid.fault import Fault

CLAMP_LIMIT = 1e-6  # of the traces: more negative eigenvalue mass than this is no rounding error
LOST_LIMIT = 1e-8  # of the traces: what square roots of rounding noise may add before the exact route is taken
EPSILON = float(np.finfo(np.float64).eps)
UNKNOWN_COUNT = 10**9  # of statistics that do not state their count: taken to be more images than dimensions
WARN_BELOW = 4  # images per dimension: with fewer, the bias C/N is as large as the differences that are compared


@dataclass(frozen=True)
class Distance:
    """The value and its parts. It is never clipped: for equal sets it is a rounding error of either sign."""

    value: float
    mean_term: float
    covariance_term: float
    clamped: float  # size of the negative eigenvalues that were set to zero: by `eigen` their sum, else its root
    route: str  # "gram" | "cholesky" | "eigen"


@dataclass
class Moments:
    """Mean and covariance of a feature set, with cached roots of the covariance."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int
    ddof: int = 1
    features: np.ndarray | None = None  # only if N <= d: then they are the better root
    _cholesky: np.ndarray | None = field(default=None, repr=False)
    _eigen: tuple[np.ndarray, float] | None = field(default=None, repr=False)

    @property
    def dimension(self) -> int:
        return len(self.mean)

    @property
    def known_count(self) -> int | None:
        """How many images it summarises; None if that is not stated."""
        return self.count if self.count < UNKNOWN_COUNT else None

    @property
    def rank_deficient(self) -> bool:
        return self.count <= self.dimension

    def cholesky(self) -> np.ndarray | None:
        """L with L L' = S, cached; None if S is singular to working precision."""
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
        """R with R R' = S and as many columns as S has rank; and the negative eigenvalue mass that was left out."""
        if self.features is not None and self.rank_deficient:
            centred = self.features.astype(np.float64) - self.mean
            return centred.T / np.sqrt(self.count - self.ddof), 0.0
        lower = self.cholesky()
        if lower is not None:
            return lower, 0.0
        if self._eigen is None:
            values, vectors = np.linalg.eigh(self.covariance)
            positive = values > self.dimension * EPSILON * max(values[-1], 0.0)
            self._eigen = vectors[:, positive] * np.sqrt(values[positive]), float(-values[values < 0].sum())
        return self._eigen


def moments(features: np.ndarray, ddof: int = 1, rows: int = 4096, names: list[str] | None = None) -> Moments:
    """Mean and covariance in two passes of row blocks, so that float32 features are never copied whole."""
    features = feature_matrix(features, names=names)
    count, dimension = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((dimension, dimension))
    for first in range(0, count, rows):
        centred = features[first : first + rows].astype(np.float64) - mean
        scatter += centred.T @ centred
    few = features if count <= dimension else None
    return Moments(mean, scatter / (count - ddof), count, ddof, few)


def distance(first: Moments, second: Moments) -> Distance:
    """Frechet distance of two sets; `second` is the reference, whose root is cached in it for the next call."""
    same_dimension(first.dimension, second.dimension)
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
    """(tr (S1 S2)^(1/2), clamped) by L' S1 L, or None if a matrix is too close to singular for it."""
    from scipy.linalg.blas import dtrmm

    if first.rank_deficient or second.rank_deficient:
        return None
    lower = second.cholesky()
    if lower is None:
        return None
    # dtrmm reads column-major matrices and numpy's are row-major, so it gets the transposes; L.T is an upper triangle.
    right = dtrmm(1.0, lower.T, first.covariance.T, side=0, lower=0)  # L' S1
    values = np.linalg.eigvalsh(dtrmm(1.0, lower.T, right, side=1, lower=0, trans_a=1, overwrite_b=1))  # L' S1 L
    # Eigenvalues have an error of about eps * max; its root is the largest wrong contribution of a tiny eigenvalue.
    noise = 4 * EPSILON * max(float(values[-1]), 0.0)
    if np.count_nonzero(values <= noise) * np.sqrt(noise) > LOST_LIMIT * traces:
        return None
    negative = values < 0
    # The root of the mass: in units of the covariance, like the limit.
    clamped = float(np.sqrt(-values[negative].sum())) if negative.any() else 0.0
    return float(np.sqrt(values[~negative]).sum()), clamped


def influence(features: np.ndarray, first: Moments, second: Moments, rows: int = 4096) -> np.ndarray:
    """What each image adds to the distance, to first order: the mean is 0, the variance over N that of the distance.

    With the optimal map T = R (R' S1 R)^(-1/2) R' from S1 to S2 = R R', the distance's derivative is 2 (m1 - m2) by the
    mean and I - T by the covariance of the images.

    Args:
        features: [N, d] of the images.
        first: their moments.
        second: the reference's moments.
        rows: of a block.
    """
    root, _ = second.root()
    values, vectors = np.linalg.eigh(root.T @ first.covariance @ root)
    positive = values > len(values) * EPSILON * max(float(values[-1]), 0.0)
    half = root @ (vectors[:, positive] / values[positive] ** 0.25)
    slope = 2 * (first.mean - second.mean)
    effect = np.empty(len(features))
    for start in range(0, len(features), rows):
        centred = features[start : start + rows].astype(np.float64) - first.mean
        quadratic = np.einsum("nd,nd->n", centred, centred) - ((centred @ half) ** 2).sum(axis=1)
        effect[start : start + rows] = centred @ slope + quadratic
    return effect - effect.mean()


class Frechet(Metric):
    """The Frechet distance on any features; features and reference are one array or one `Moments` each."""

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
        images, compared = (as_moments(single_entry(part, self.name), ddof) for part in (features, reference))
        result = distance(images, compared)
        details = {
            "mean_term": result.mean_term,
            "covariance_term": result.covariance_term,
            "clamped": result.clamped,
            "route": result.route,
            "count": images.count,
            "reference_count": compared.known_count,
            "dimension": images.dimension,
            "ddof": images.ddof,
        }
        return Score(result.value, details, sample_warnings(images, compared))


def as_moments(features: np.ndarray | Moments, ddof: int) -> Moments:
    """The moments of features; moments as they are."""
    return features if isinstance(features, Moments) else moments(features, ddof)


def sample_warnings(images: Moments, compared: Moments) -> tuple[str, ...]:
    """Warnings about the counts: too few images, or another ddof in the reference."""
    warnings = []
    if images.ddof != compared.ddof:
        warnings.append(f"ddof {images.ddof} of the images against ddof {compared.ddof} of the reference")
    count, dimension = min(images.count, compared.count), images.dimension
    if count <= dimension:
        warnings.append(
            f"rank-deficient: {count} images for {dimension} dimensions, the bias C/N dominates; "
            "kid is meaningful at this size, fid-infinity from a few times as many"
        )
    elif count < WARN_BELOW * dimension:
        warnings.append(f"{count} images for {dimension} dimensions: the bias C/N is large, compare equal N only")
    return tuple(warnings)


class Fid(Frechet):
    """Pool3 of Inception-2015 after the resize of TensorFlow 1, without antialiasing."""

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
    """On the centre crop of 299 pixels: measures the detail that a resize would remove (SDXL-Lightning, DMD2)."""

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


class FidClip(Frechet):
    """Image embeddings of CLIP ViT-B/32: not of a classifier of ImageNet, whose classes FID can be tuned to.

    On a GPU clean-fid's network computes in half precision; here it is float32.
    """

    name = "fid-clip"
    version = 1
    paper = "Kynkäänniemi et al., The Role of ImageNet Classes in Fréchet Inception Distance, arXiv 2203.06026"
    features = ("clip-vit-b-32.image",)
    of_family = True
    variants: ClassVar = {"clean-fid": {"ddof": 1}}

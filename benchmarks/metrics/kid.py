"""KID: squared maximum mean discrepancy with the kernel (x.y/d + 1)^3, over all pairs unless subsets are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks import frechet
from benchmarks.metrics import mmd
from benchmarks.metrics.base import Metric, Score, only
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np


class Kid(Metric):
    """The unbiased U-statistic has mean 0 for equal distributions, so a value may be negative."""

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
        images, compared = (frechet.check(only(part, self.name), self.name) for part in (features, reference))
        if images.shape[1] != compared.shape[1]:
            raise Fault(f"features of {images.shape[1]} and {compared.shape[1]} dimensions can't be compared")
        if subsets < 0 or subset_size < 2:
            raise Fault(f"kid: subsets of at least 2 images, or none (got {subsets} of {subset_size})")
        details: dict[str, Any] = {"count": len(images), "reference_count": len(compared), "scale": scale}
        if not subsets:
            return Score(scale * mmd.polynomial(images, compared), {**details, "estimate": "all pairs"})
        smaller, warnings = min(len(images), len(compared)), []
        if smaller < subset_size:
            if not shrink:
                raise Fault(f"kid: subsets of {subset_size} can't be drawn from {smaller} images; give subset_size")
            warnings.append(f"subsets shrunk from {subset_size} to {smaller} images")
        drawn = mmd.polynomial_subsets(images, compared, subsets, min(smaller, subset_size), seed, reference_first)
        details |= {"estimate": f"{subsets} subsets of {min(smaller, subset_size)}", "seed": seed}
        return Score(scale * float(drawn.mean()), {**details, "std": scale * float(drawn.std())}, tuple(warnings))

"""CMMD: maximum mean discrepancy of CLIP ViT-L/14-336 embeddings with a Gaussian kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import mmd, text_image
from benchmarks.metrics.base import Metric, Score, only

if TYPE_CHECKING:
    import numpy as np


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
        images, compared = (text_image.unit(only(part, self.name), self.name) for part in (features, reference))
        estimate = mmd.unbiased if unbiased else mmd.biased
        value = scale * estimate(images, compared, mmd.gaussian(sigma))
        details = {"count": len(images), "reference_count": len(compared), "sigma": sigma, "scale": scale}
        return Score(value, {**details, "estimate": "unbiased" if unbiased else "biased"})

"""PickScore: cosine in a CLIP ViT-H/14 that was fine-tuned on Pick-a-Pic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score

if TYPE_CHECKING:
    import numpy as np


class PickScore(Metric):
    """Tables that print 0.21-0.23 leave out the logit scale; those that print 20-23 multiply by it."""

    name = "pickscore"
    version = 1
    paper = "Kirstain et al., Pick-a-Pic, arXiv 2305.01569"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-h-14-pick.image", "clip-vit-h-14-pick.text")
    of_family = True
    reference = False
    variants: ClassVar = {"cosine": {"scale": 1.0}, "logit": {"scale": 100.0}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 1.0,
    ) -> Score:
        return text_image.score(features, self.name, scale)

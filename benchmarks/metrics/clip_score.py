"""CLIP score: mean cosine of image and caption embeddings; never a number without model, template and scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score

if TYPE_CHECKING:
    import numpy as np

PREFIX = "A photo depicts "


class ClipScore(Metric):
    """Captions are embedded by the extractor, with the template named there; here it is only told."""

    name = "clip-score"
    version = 1
    paper = "Hessel et al., CLIPScore, arXiv 2104.08718"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-g-14.image", "clip-vit-g-14.text")
    reference = False
    variants: ClassVar = {
        "gigagan-coco30k": {"template": PREFIX, "scale": 1.0},  # also DMD, DMD2, SiD-LSG's final number; ViT-g-14
        # SiD-LSG's score while it trains has no prefix and resizes without antialiasing: another number, not offered.
        "mlcommons-sdxl": {"template": "", "scale": 100.0},  # ViT-B/32 of OpenAI
        "hessel": {"template": PREFIX, "scale": 2.5, "clamp": True},  # ViT-B/32 of OpenAI
    }

    variant_extractors: ClassVar = {"mlcommons-sdxl": "clip-vit-b-32", "hessel": "clip-vit-b-32"}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 1.0,
        clamp: bool = False,
        template: str = PREFIX,
    ) -> Score:
        return text_image.score(features, self.name, scale, clamp, template=template)

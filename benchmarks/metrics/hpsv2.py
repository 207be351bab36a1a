"""HPSv2: cosine in a CLIP ViT-H/14 that was fine-tuned on human preferences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score

if TYPE_CHECKING:
    import numpy as np


class Hpsv2(Metric):
    """The checkpoint (v2.0 or v2.1) is the extractor's; the benchmark's images are JPEG files of quality 75."""

    name = "hpsv2"
    version = 1
    paper = "Wu et al., Human Preference Score v2, arXiv 2306.09341"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-h-14-hps-2.1.image", "clip-vit-h-14-hps-2.1.text")
    of_family = True
    reference = False
    variants: ClassVar = {
        "score": {"scale": 1.0},  # the package's score(): v2.0, raw cosine
        "evaluate": {"scale": 100.0},  # its evaluate(): v2.1, times 100
    }
    variant_extractors: ClassVar = {"score": "clip-vit-h-14-hps-2.0"}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 100.0,
    ) -> Score:
        return text_image.score(features, self.name, scale)

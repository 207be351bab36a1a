"""FD-DINOv2: Frechet distance of DINOv2 ViT-L/14 class tokens."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class FdDinov2(Frechet):
    """1024 dimensions, 224 pixels, antialiased bicubic (EDM2's default) unless the protocol names another extractor."""

    name = "fd-dinov2"
    version = 1
    paper = "Stein et al., Exposing flaws of generative model evaluation metrics, arXiv 2306.04675"
    features = ("dinov2.cls",)
    of_family = True
    variants: ClassVar = {"edm2": {"ddof": 1}}

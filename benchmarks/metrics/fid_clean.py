"""FID of the clean family: antialiased bicubic resize in float, the number of clean-fid, GigaGAN, DMD2 and SiD-LSG."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class FidClean(Frechet):
    """Pool3 of Inception-2015 after the clean resize."""

    name = "fid-clean"
    version = 1
    paper = "Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, arXiv 2104.11222"
    features = ("inception-clean.pool3",)
    of_family = True
    variants: ClassVar = {"clean-fid": {"ddof": 1}}

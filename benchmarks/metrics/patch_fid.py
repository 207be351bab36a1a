"""Patch FID: Frechet distance of centre crops of 299 pixels, not resized, of generated and reference images."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class PatchFid(Frechet):
    """Sees the detail that a resize to 299 throws away (SDXL-Lightning, DMD2)."""

    name = "patch-fid"
    version = 1
    paper = "Lin et al., SDXL-Lightning, arXiv 2402.13929"
    features = ("inception-patch.pool3",)
    of_family = True
    variants: ClassVar = {"dmd2-sdxl": {"ddof": 1}}

"""FID of torchmetrics since 1.8: torch's antialiased bilinear resize."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class FidAntialias(Frechet):
    """Pool3 of Inception-2015 after the antialiased bilinear resize."""

    name = "fid-antialias"
    version = 1
    features = ("inception-antialias.pool3",)
    of_family = True
    variants: ClassVar = {"torchmetrics": {"ddof": 1}}

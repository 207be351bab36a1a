"""FID of the PyTorch family: bilinear without antialiasing, v/127.5-1; pytorch-fid and clean-fid's legacy_pytorch."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class FidPytorch(Frechet):
    """Pool3 of Inception-2015 after torch's bilinear resize."""

    name = "fid-pytorch"
    version = 1
    features = ("inception-torch.pool3",)
    of_family = True
    variants: ClassVar = {"pytorch-fid": {"ddof": 1}}

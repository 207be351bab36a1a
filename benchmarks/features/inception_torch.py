"""Inception of the PyTorch family: pytorch-fid and clean-fid's legacy_pytorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.features.inception import InceptionExtractor

if TYPE_CHECKING:
    from torch import Tensor


class InceptionTorch(InceptionExtractor):
    """Bilinear resize without antialiasing, v/127.5 - 1."""

    name = "inception-torch"
    version = 1
    preprocess = "bilinear-299/v/127.5-1"
    resize = "bilinear"

    def normalise(self, pixels: Tensor) -> Tensor:
        return pixels / 127.5 - 1

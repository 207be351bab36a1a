"""Inception of centre crops of 299 pixels, not resized: patch FID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.features.inception import InceptionExtractor, colour
from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 299


class InceptionPatch(InceptionExtractor):
    """An image smaller than the patch is refused: a resized one in its place would be another score."""

    name = "inception-patch"
    version = 1
    preprocess = "centre-crop-299/(v-128)/128"

    def prepare(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if min(height, width) < SIDE:
            raise Fault(f"inception-patch: an image of {width} x {height} has no patch of {SIDE} x {SIDE}")
        top, left = round((height - SIDE) / 2), round((width - SIDE) / 2)
        return colour(images[:, :, top : top + SIDE, left : left + SIDE].to(self.device)).float()

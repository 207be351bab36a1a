"""The crop and the resize that a protocol prescribes for the images, before a network's own resize."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sid.discovery import UnknownName

FILTERS = ("lanczos", "bicubic", "bilinear", "box")
ROUNDINGS = ("floor", "half-even")


@dataclass(frozen=True)
class Geometry:
    """Maps an image to uint8 pixels of the prescribed size, as the published protocols do."""

    crop: str = "none"  # "none" | "centre": the middle square of the short side
    side: int = 0  # of the square result, in pixels; 0 keeps the size
    filter: str = "lanczos"
    rounding: str = "floor"  # of a margin of the crop that is no whole pixel; "half-even" as torchvision's center_crop

    def __post_init__(self) -> None:
        if self.filter not in FILTERS:
            raise UnknownName("filter", self.filter, FILTERS)
        if self.rounding not in ROUNDINGS:
            raise UnknownName("rounding", self.rounding, ROUNDINGS)

    @property
    def identity(self) -> str:
        """Part of the key under which features are cached."""
        rounding = "" if self.rounding == "floor" else f"-{self.rounding}"
        return f"crop-{self.crop}{rounding}/" + (f"{self.filter}-{self.side}-uint8" if self.side else "as-is")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [3, H, W] in and out."""
        if self.crop == "centre":
            height, width = pixels.shape[1:]
            short = min(height, width)
            top, left = self._margin(height - short), self._margin(width - short)
            pixels = pixels[:, top : top + short, left : left + short]
        if not self.side or pixels.shape[1:] == (self.side, self.side):
            return np.ascontiguousarray(pixels)
        from PIL import Image

        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        resized = image.resize((self.side, self.side), Image.Resampling[self.filter.upper()])
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the result for an image of that size."""
        if self.side:
            return self.side, self.side
        return (min(width, height),) * 2 if self.crop == "centre" else (width, height)

    def _margin(self, spare: int) -> int:
        """Pixels that a centre crop leaves out before the square; Python's round takes halves to the even number."""
        return spare // 2 if self.rounding == "floor" else round(spare / 2)


AS_IS = Geometry()

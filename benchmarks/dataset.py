"""What every data set answers. One file in `benchmarks/data/` is one data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sid.discovery import Component

if TYPE_CHECKING:
    import numpy as np


class Dataset(Component, ABC):
    """Images with labels (or captions) in fixed splits."""

    shape: ClassVar[tuple[int, int, int]]  # channels, height, width
    classes: ClassVar[int] = 0
    splits: ClassVar[tuple[str, ...]] = ("train", "heldout")

    @abstractmethod
    def images(self, split: str) -> np.ndarray:
        """uint8 images [N, C, H, W] of a split, always in the same order."""

    def labels(self, split: str) -> np.ndarray:
        """Class labels [N]; refused where there are none."""
        raise TypeError(f"{self.name} has no labels")

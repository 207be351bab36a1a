"""What every data set answers. One file in `benchmarks/data/` is one data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sid.discovery import Component

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.images.reading import Images


class Dataset(Component, ABC):
    """Images with labels (or captions) in fixed splits."""

    shape: ClassVar[tuple[int, int, int]]  # channels, height, width
    classes: ClassVar[int] = 0
    captioned: ClassVar[bool] = False
    vocabulary: ClassVar[tuple[str, ...]] = ()  # of the captions, where they are made of few words
    splits: ClassVar[tuple[str, ...]] = ("train", "heldout")

    @abstractmethod
    def images(self, split: str) -> np.ndarray:
        """uint8 images [N, C, H, W] of a split, always in the same order."""

    def source(self, split: str) -> Images:
        """The same images one at a time, for passes that must not hold them all."""
        from benchmarks.images.reading import Array

        return Array(self.images(split), f"{self.name}, {split}")

    def labels(self, split: str) -> np.ndarray:
        """Class labels [N]; refused where there are none."""
        raise TypeError(f"{self.name} has no labels")

    def captions(self, split: str) -> list[str]:
        """One caption per image of the split; refused where there are none."""
        raise TypeError(f"{self.name} has no captions")

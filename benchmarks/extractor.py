"""What every feature network answers. One file in `benchmarks/features/` is one extractor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sid.discovery import Component

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Extractor(Component, ABC):
    """A feature network with its preprocessing: uint8 images [N, C, H, W] in, named feature arrays out."""

    outputs: ClassVar[tuple[str, ...]]  # e.g. ("pool3", "logits"); a metric names them "<extractor>.<output>"
    preprocess: ClassVar[str]  # an id that changes whenever the pixels that reach the network change
    trained_here: ClassVar[bool] = False  # a mini extractor that is trained on the spot from a data set
    data: ClassVar[str] = ""  # the data set it is trained on, where trained_here

    @abstractmethod
    def open(self, weights: Path | None, device: str = "cpu") -> Extractor:
        """Ready to extract: weights loaded, network on the device."""

    @abstractmethod
    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        """Features of a batch of uint8 images."""

    def train(self, folder: Path, seed: int) -> None:
        """Only where `trained_here`: trains the network and writes it into the folder."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

"""What every feature network answers. One file in `benchmarks/features/` is one extractor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sid.discovery import Component
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from benchmarks.assets import Weight


class Extractor(Component, ABC):
    """A feature network with its preprocessing: uint8 images [N, C, H, W] in, named feature arrays out."""

    outputs: ClassVar[tuple[str, ...]]  # e.g. ("pool3", "logits"); a metric names them "<extractor>.<output>"
    preprocess: ClassVar[str]  # an id that changes whenever the pixels that reach the network change
    trained_here: ClassVar[bool] = False  # a mini extractor that is trained on the spot from a data set
    data: ClassVar[str] = ""  # the data set it is trained on, where trained_here
    weights: ClassVar[tuple[Weight, ...]] = ()  # published files that it reads, any one of them is enough
    pairs: ClassVar[bool] = False  # reads each image with its caption: extract_pairs instead of extract
    identity: str = ""  # once open: sha256 of the weights, or "random-<seed>"

    @abstractmethod
    def open(self, weights: Path | None, device: str = "cpu") -> Extractor:
        """Ready to extract: weights loaded, network on the device."""

    @abstractmethod
    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        """Features of a batch of uint8 images."""

    def prepare(self, images: Tensor) -> Tensor:
        """Images of one size on the grid that the network reads, so that images of other sizes can join the batch."""
        return images

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        """The wanted outputs of what `prepare` made; a network may leave the others uncomputed."""
        found = self(prepared)
        return {output: found[output] for output in outputs}

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As extract, where `pairs`: one caption per image."""
        raise Fault(f"{self.name} reads images without captions")

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        """Embeddings of captions and which of them were too long."""
        raise Fault(f"{self.name} reads no captions")

    def random(self, seed: int, device: str = "cpu") -> Extractor:
        """Opened with made weights, for audits and tests; whoever asks for it must say so beside every number."""
        raise Fault(f"{self.name} has no form with random weights")

    def train(self, folder: Path, seed: int) -> None:
        """Only where `trained_here`: trains the network and writes it into the folder."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

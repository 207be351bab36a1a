"""What every feature network answers. One file in `benchmarks/features/` is one extractor."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from sid.discovery import Component
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from benchmarks.assets import Weight
    from benchmarks.data.base import Dataset


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

    def train(self, folder: Path, seed: int, dataset: Dataset) -> None:
        """Only where `trained_here`: trains the network on the data set called `data` and writes it into the folder."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

    def trained(self, folder: Path, dataset: Dataset, device: str = "cpu") -> Extractor:
        """Only where `trained_here`: ready to extract, from the folder that `train` wrote."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

    @property
    def family(self) -> str:
        """Features of one family may be compared: same extractor, same pixels, same weights."""
        return f"{self.name}|{self.preprocess}|{self.identity}"


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """No gradients and no TF32; the settings found are put back. TF32 moves features by 1e-3, a network by 1e-6."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)

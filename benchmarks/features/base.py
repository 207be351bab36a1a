"""The base classes of feature networks: `Extractor`, and `NetworkExtractor` for those with published weights.

One class is one extractor; a family may share a file. A published network derives from `NetworkExtractor`, declares
`outputs`, `preprocess` and `weights`, and defines `open`, `prepare` and `extract`. A network that a suite trains itself
derives from `Extractor` and defines `train`, `trained` and `__call__`.
"""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sid.discovery import Component
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from benchmarks.assets import Weight
    from benchmarks.data.base import Dataset


class Extractor(Component, ABC):
    """A feature network with its preprocessing: uint8 images [N, C, H, W] in, named feature arrays out."""

    outputs: ClassVar[tuple[str, ...]]  # e.g. ("pool3", "logits"); a metric names them "<extractor>.<output>"
    preprocess: ClassVar[str]  # names the pixels that reach the network: other pixels, another name
    trained_here: ClassVar[bool] = False  # whether a suite trains it from a data set
    data: ClassVar[str] = ""  # the data set it is trained on, if trained_here
    weights: ClassVar[tuple[Weight, ...]] = ()  # published files that it reads
    pairs: ClassVar[bool] = False  # whether it reads each image with its caption, by extract_pairs
    identity: str = ""  # of an opened one: sha256 of the weights, or "random-<seed>"

    @abstractmethod
    def open(self, weights: Path | None, device: str = "cpu") -> Extractor:
        """A copy that is ready to extract: weights loaded, network on the device. `weights` is a file given by hand."""

    @abstractmethod
    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        """All features of a batch of uint8 images."""

    def prepare(self, images: Tensor) -> Tensor:
        """Images of one size, resized as the network reads them, so that images of other sizes can join the batch."""
        return images

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        """The wanted outputs for what `prepare` returned; a network need not compute the others."""
        features = self(prepared)
        return {output: features[output] for output in outputs}

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        """As `extract`, with one caption per image; only if `pairs`."""
        raise Fault(f"{self.name} reads images without captions")

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        """Embeddings of captions as `text`, and as `truncated` which captions were too long."""
        raise Fault(f"{self.name} reads no captions")

    def random(self, seed: int, device: str = "cpu") -> Extractor:
        """As `open`, with random weights, for audits and tests; every number from it must say so."""
        raise Fault(f"{self.name} has no form with random weights")

    def train(self, folder: Path, seed: int, dataset: Dataset) -> None:
        """Only if `trained_here`: trains the network on the data set named `data` and writes it into the folder."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

    def trained(self, folder: Path, dataset: Dataset, device: str = "cpu") -> Extractor:
        """Only if `trained_here`: ready to extract, from the folder that `train` wrote."""
        raise TypeError(f"{self.name} is not trained here: its weights are published")

    def notes(self, sizes: Counter) -> list[str]:
        """What it does with images of some sizes, (width, height) -> how many, that a reader of the score must know."""
        return []

    @property
    def family(self) -> str:
        """Names the extractor, its pixels and its weights: only features of equal families may be compared."""
        return f"{self.name}|{self.preprocess}|{self.identity}"


class NetworkExtractor(Extractor):
    """An extractor over a torch network with published weights."""

    network: Any = None
    device: str = "cpu"

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        return self.extract(self.prepare(images), self.outputs)

    def with_network(self, network: Any, identity: str, device: str) -> Self:
        """A copy that extracts with this network; what `open` and `random` return."""
        opened = copy.copy(self)
        opened.network = network.to(device).eval().requires_grad_(False)
        opened.identity, opened.device = identity, device
        return opened


def transformers_network(network: Any, config: Any, path: Path, settings: Path) -> Any:
    """A network of transformers from its config and tensors; nothing in the files is run.

    Args:
        network: transformers' class.
        config: its class of configs.
        path: the tensors.
        settings: the published config.json.
    """
    from benchmarks.assets import tensors

    try:
        described = config.from_dict(parsed(settings.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Fault(f"{settings} is no config of {network.__name__}: {str(error)[:200]}") from error
    try:
        made, loaded = network.from_pretrained(
            None, config=described, state_dict=tensors(path), output_loading_info=True
        )
    except RuntimeError as error:
        raise Fault(f"{path} does not fit {settings}: {str(error).splitlines()[0][:200]}") from error
    if missing := sorted(loaded["missing_keys"]):
        raise Fault(f"{path} is no {network.__name__}: it lacks {missing[0]}")
    return made


def three_channels(images: Tensor) -> Tensor:
    """uint8 images with three channels; grey is repeated, anything else is refused."""
    if str(images.dtype) != "torch.uint8":
        raise Fault(f"images must be uint8, got {images.dtype}")
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] != 3:
        raise Fault(f"images must have 1 or 3 channels, got {images.shape[1]}")
    return images


def standardise(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Grey levels 0 to 255 to units of the training data's mean and standard deviation, given per channel in [0, 1]."""
    import torch

    means, deviations = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (mean, std))
    return (pixels.float() / 255 - means) / deviations


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Without gradients and TF32; afterwards the settings are as before. TF32 changes features by 1e-3, not by 1e-6."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)

"""What the Inception extractors share: one network for all families, and the weights it is read from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import Extractor, full_precision
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


RELEASES = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHT = Weight(
    "inception-2015-12-05",
    "features of FID, KID, Inception Score, precision and recall",
    (FILE, "pt_inception-2015-12-05-6726825d.pth"),
    "Apache-2.0",
    RELEASES + FILE,
    sha256="6726825d",
)
OUTPUTS = ("64", "192", "768", "pool3", "logits_unbiased", "logits")


class InceptionExtractor(Extractor):
    """Resize by family, then the one network; a subclass names the family."""

    version = 1
    paper = "Szegedy et al., Rethinking the Inception Architecture, arXiv 1512.00567"
    verified = "layout"
    outputs = OUTPUTS
    weights = (WEIGHT,)
    resize: ClassVar[str]  # a function of benchmarks.features.networks.resize
    network: Any = None
    device: str = "cpu"

    def open(self, weights: Path | None, device: str = "cpu") -> InceptionExtractor:
        path = locate(WEIGHT, weights)
        identity = verify(WEIGHT, path)
        network = _network(str(path), identity, device)
        pin(WEIGHT, path)
        return self._opened(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> InceptionExtractor:
        """The network of `benchmarks.features.networks.inception.random_state`."""
        return self._opened(_network("", f"random-{seed}", device), f"random-{seed}", device)

    def _opened(self, network: Any, identity: str, device: str) -> InceptionExtractor:
        opened = copy.copy(self)
        opened.network, opened.identity, opened.device = network, identity, device
        return opened

    def prepare(self, images: Tensor) -> Tensor:
        from benchmarks.features.networks import resize

        function: Callable[[Tensor], Tensor] = getattr(resize, self.resize)
        return function(colour(images.to(self.device)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Grey levels to what the network was frozen with."""
        return (pixels - 128) / 128

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        import torch

        with full_precision():
            pixels = self.normalise(prepared).contiguous(memory_format=torch.channels_last)
            found = self.network(pixels, outputs)
        return {name: tensor.float().cpu().numpy() for name, tensor in found.items()}

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        return self.extract(self.prepare(images), self.outputs)


def colour(images: Tensor) -> Tensor:
    """Three channels; grey is repeated, anything else is refused."""
    if str(images.dtype) != "torch.uint8":
        raise Fault(f"images must be uint8, got {images.dtype}")
    if images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1)
    if images.shape[1] != 3:
        raise Fault(f"images must have 1 or 3 channels, got {images.shape[1]}")
    return images


@lru_cache(maxsize=2)
def _network(path: str, identity: str, device: str) -> Any:
    """Opened once for all families."""
    from benchmarks.features.networks.inception import Inception, random_state

    state = tensors(Path(path)) if path else random_state(int(identity.removeprefix("random-")))
    network = Inception()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise Fault(f"{path} is not the Inception of 2015-12-05: {str(error).splitlines()[1].strip()[:200]}") from error
    return network.fold().to(device)


class InceptionTf(InceptionExtractor):
    """TF1-like bilinear resize, (v-128)/128."""

    name = "inception-tf"
    version = 1
    preprocess = "tf1-bilinear-299/(v-128)/128"
    resize = "tensorflow"


class InceptionTorch(InceptionExtractor):
    """Bilinear resize without antialiasing, v/127.5 - 1."""

    name = "inception-torch"
    version = 1
    preprocess = "bilinear-299/v/127.5-1"
    resize = "bilinear"

    def normalise(self, pixels: Tensor) -> Tensor:
        return pixels / 127.5 - 1


class InceptionClean(InceptionExtractor):
    """Antialiased bicubic resize in float, (v-128)/128."""

    name = "inception-clean"
    version = 1
    preprocess = "aa-bicubic-float-299/(v-128)/128"
    resize = "clean"


class InceptionAntialias(InceptionExtractor):
    """Antialiased bilinear resize, (v-128)/128."""

    name = "inception-antialias"
    version = 1
    preprocess = "aa-bilinear-299/(v-128)/128"
    resize = "antialiased"


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

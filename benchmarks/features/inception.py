"""The extractors over the Inception of 2015-12-05: one network, four resizes and a crop.

Features after different resizes differ by whole FID points, so each is a family. A new one is a subclass of
`InceptionExtractor` with `name`, `preprocess`, and `resize` (a function of `networks/resize.py`) or `prepare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, three_channels
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
PATCH_SIDE = 299


class InceptionExtractor(NetworkExtractor):
    """The family's resize, then the network."""

    version = 1
    paper = "Szegedy et al., Rethinking the Inception Architecture, arXiv 1512.00567"
    verified = "layout"
    outputs = OUTPUTS
    weights = (WEIGHT,)
    resize: ClassVar[str]  # a function of benchmarks.features.networks.resize

    def open(self, weights: Path | None, device: str = "cpu") -> InceptionExtractor:
        path = locate(WEIGHT, weights)
        identity = verify(WEIGHT, path)
        network = _network(str(path), identity, device)
        pin(WEIGHT, path)
        return self.with_network(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> InceptionExtractor:
        """The network of `benchmarks.features.networks.inception.random_state`."""
        return self.with_network(_network("", f"random-{seed}", device), f"random-{seed}", device)

    def prepare(self, images: Tensor) -> Tensor:
        from benchmarks.features.networks import resize

        function: Callable[[Tensor], Tensor] = getattr(resize, self.resize)
        return function(three_channels(images.to(self.device)))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Grey levels 0 to 255 to the range that the network was trained on."""
        return (pixels - 128) / 128

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        import torch

        with full_precision():
            pixels = self.normalise(prepared).contiguous(memory_format=torch.channels_last)
            features = self.network(pixels, outputs)
        return {name: tensor.float().cpu().numpy() for name, tensor in features.items()}


@lru_cache(maxsize=2)
def _network(path: str, identity: str, device: str) -> Any:
    """Loaded once for all families; without a path, the random network of the identity."""
    from benchmarks.features.networks.inception import Inception, random_state

    state = tensors(Path(path)) if path else random_state(int(identity.removeprefix("random-")))
    network = Inception()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise Fault(f"{path} is not the Inception of 2015-12-05: {str(error).splitlines()[1].strip()[:200]}") from error
    return network.fold().to(device)


class InceptionTf(InceptionExtractor):
    """The bilinear resize of TensorFlow 1, (v-128)/128."""

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


class InceptionPatch(InceptionExtractor):
    """The centre crop; an image with a smaller side is resized whole by the clean resize, as DMD2's evaluator does."""

    name = "inception-patch"
    version = 2
    preprocess = "centre-crop-299-or-clean/(v-128)/128"

    def prepare(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        if min(height, width) < PATCH_SIDE:
            from benchmarks.features.networks import resize

            return resize.clean(three_channels(images.to(self.device)))
        top, left = round((height - PATCH_SIDE) / 2), round((width - PATCH_SIDE) / 2)
        return three_channels(images[:, :, top : top + PATCH_SIDE, left : left + PATCH_SIDE].to(self.device)).float()

    def notes(self, sizes: Counter) -> list[str]:
        small = sum(count for size, count in sizes.items() if min(size) < PATCH_SIDE)
        if not small:
            return []
        whole = f"{small:,} of {sizes.total():,} images have a side under {PATCH_SIDE} pixels"
        return [f"{self.name}: {whole}: resized whole, not cropped, as DMD2's evaluator does"]

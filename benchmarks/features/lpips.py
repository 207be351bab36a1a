"""LPIPS as features: images whose squared Euclidean distance is LPIPS on AlexNet.

LPIPS sums, over five layers, the mean over the positions of w . (f1 - f2)^2, with f scaled to length 1 along the
channels. As no w is negative, sqrt(w / positions) f is a vector of an image alone, and every pair costs one difference.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, three_channels
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

FILE = "alexnet-owt-7be5be79.pth"
BACKBONE = Weight(
    "alexnet", "LPIPS", (FILE,), "BSD-3-Clause", f"https://download.pytorch.org/models/{FILE}", sha256="7be5be79"
)
HEADS_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # alex.pth, LPIPS 0.1
AFTER = (1, 4, 7, 9, 11)  # the ReLUs among AlexNet's layers that are compared
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in [-1, 1]
SIDE = 256


class LpipsAlex(NetworkExtractor):
    """Outputs: `maps`, the vector of an image, and for captions `text`, which numbers the distinct ones.

    Images are resized to 256 pixels: at 1024 a vector would have ten million numbers.
    """

    name = "lpips-alex"
    version = 1
    paper = "Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, arXiv 1801.03924"
    verified = "layout"
    outputs = ("maps",)
    preprocess = f"aa-bilinear-{SIDE}/lpips"
    weights = (BACKBONE,)
    heads: tuple[Any, ...] = ()  # a weight per channel, for each layer

    def open(self, weights: Path | None, device: str = "cpu") -> LpipsAlex:
        path = locate(BACKBONE, weights)
        identity = verify(BACKBONE, path)
        network = _alexnet()
        try:
            network.load_state_dict(tensors(path))
        except RuntimeError as error:
            raise Fault(f"{path} is not torchvision's AlexNet: {str(error).splitlines()[1].strip()[:200]}") from error
        pin(BACKBONE, path)
        return self._opened(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> LpipsAlex:
        """A random backbone under the published heads."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._opened(_alexnet(), f"random-{seed}", device)

    def _opened(self, network: Any, identity: str, device: str) -> LpipsAlex:
        opened = self.with_network(network.features[: AFTER[-1] + 1], identity, device)
        opened.heads = tuple(head.to(device) for head in _heads())
        return opened

    def prepare(self, images: Tensor) -> Tensor:
        from benchmarks.features.networks.resize import antialiased

        return antialiased(three_channels(images.to(self.device)), SIDE)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        import torch

        shift, scale = (torch.tensor(values, device=prepared.device).view(3, 1, 1) for values in (SHIFT, SCALE))
        x = (prepared / 127.5 - 1 - shift) / scale
        parts: list[Tensor] = []
        with full_precision():
            for index, layer in enumerate(self.network):
                x = layer(x)
                if index in AFTER:
                    unit = x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
                    weight = self.heads[len(parts)] / (x.shape[2] * x.shape[3])
                    parts.append((unit * weight.sqrt().view(-1, 1, 1)).flatten(1))
        return {"maps": torch.cat(parts, 1).float().cpu().numpy()}

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        """The number of each caption among the distinct ones: images of one prompt share it."""
        import numpy as np

        _, number = np.unique([template + caption for caption in captions], return_inverse=True)
        return {"text": number.reshape(-1, 1).astype(np.float64), "truncated": np.zeros(len(captions), bool)}


def _alexnet() -> Any:
    """torchvision's, with layers that keep their input: a ReLU in place would change what was compared before."""
    from torch import nn
    from torchvision.models import alexnet

    network = alexnet()
    for layer in network.features:
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
    return network


def _heads() -> list[Tensor]:
    """The published weights of the layers, which torchmetrics ships."""
    import torchmetrics

    from benchmarks.assets import sha256

    path = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    if not path.is_file() or sha256(path) != HEADS_SHA256:
        raise Fault(f"lpips-alex: {path} is missing or is not LPIPS's alex.pth of version 0.1")
    state = tensors(path)
    return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(AFTER))]

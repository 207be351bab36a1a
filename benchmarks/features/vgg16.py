"""VGG16 of torchvision, fully connected layer 2: what torch-fidelity computes precision and recall on."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, standardise, three_channels
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224
FILE = "vgg16-397923af.pth"
WEIGHT = Weight(
    "vgg16",
    "precision and recall as torch-fidelity computes them",
    (FILE,),
    "BSD-3-Clause",
    f"https://download.pytorch.org/models/{FILE}",
    sha256="397923af",
)


class Vgg16(NetworkExtractor):
    """The resize of TensorFlow 1 to 224 pixels; not the vgg16.pt of NVIDIA that StyleGAN's code reads."""

    name = "vgg16"
    version = 1
    paper = "Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv 1409.1556"
    verified = "layout"
    outputs = ("fc2", "fc2_relu")
    preprocess = "tf1-bilinear-224/imagenet-mean-std"
    weights = (WEIGHT,)

    def open(self, weights: Path | None, device: str = "cpu") -> Vgg16:
        from torchvision.models import vgg16

        path = locate(WEIGHT, weights)
        identity = verify(WEIGHT, path)
        network = vgg16(init_weights=False)
        try:
            network.load_state_dict(tensors(path))
        except RuntimeError as error:
            raise Fault(f"{path} is not torchvision's VGG16: {str(error).splitlines()[1].strip()[:200]}") from error
        pin(WEIGHT, path)
        return self.with_network(_until_fc2(network), identity, device)

    def random(self, seed: int, device: str = "cpu") -> Vgg16:
        import torch
        from torchvision.models import vgg16

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.with_network(_until_fc2(vgg16()), f"random-{seed}", device)

    def network_without_weights(self) -> Any:
        """The layers alone, which the estimate of its cost counts."""
        from torchvision.models import vgg16

        return _until_fc2(vgg16(init_weights=False))

    def prepare(self, images: Tensor) -> Tensor:
        from benchmarks.features.networks.resize import tensorflow

        return tensorflow(three_channels(images.to(self.device)), SIDE)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        with full_precision():
            features = self.network(standardise(prepared, MEAN, STD)).float()
        made = {"fc2": features, "fc2_relu": features.relu()}
        return {output: made[output].cpu().numpy() for output in outputs}


def _until_fc2(network: Any) -> Any:
    """The network without what follows the second fully connected layer, as the weights are loaded into a whole one."""
    network.classifier = network.classifier[:4]
    return network

"""The peers' own Inception modules with given weights, so that all peers run the same network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
BLOCKS = {64: 0, 192: 1, 768: 2, 2048: 3}  # features' dimension -> pytorch-fid's number of the block


def clean_fid_models(state: State, tap: int = 2048) -> dict[str, Callable[[Tensor], Tensor]]:
    """clean-fid's feature functions by mode; an equivalent of ours stands in for NVIDIA's TorchScript file."""
    import torch
    from cleanfid import inception_pytorch
    from cleanfid.inception_torchscript import InceptionV3W

    twin = _nvidia_twin(state, tap)
    with patch.object(torch.jit, "load", lambda path: twin):
        clean, tensorflow = (InceptionV3W("", download=False, resize_inside=inside).eval() for inside in (False, True))
    with _given(inception_pytorch, state):
        pytorch = _fast(inception_pytorch.InceptionV3(output_blocks=[BLOCKS[tap]], resize_input=False))

    def legacy_pytorch(pixels: Tensor) -> Tensor:
        return pytorch(pixels / 255)[0].mean((2, 3))

    return {
        "clean": lambda pixels: clean(pixels)[:, :tap],
        "legacy_pytorch": legacy_pytorch,
        "legacy_tensorflow": lambda pixels: tensorflow(pixels)[:, :tap],
    }


def pytorch_fid_model(state: State, tap: int = 2048) -> Any:
    """pytorch-fid's network with its own resize and normalisation."""
    from pytorch_fid import inception

    with _given(inception, state):
        return _fast(inception.InceptionV3([BLOCKS[tap]]))


def fidelity_model(weights: str, taps: list[str]) -> Any:
    """torch-fidelity's extractor. `weights` must be a file of ours: it is loaded without weights_only."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return _fast(FeatureExtractorInceptionV3("given", taps, feature_extractor_weights_path=weights))


def _fast(network: Any) -> Any:
    """The same network with its weights in the order in memory that CPUs convolve fastest."""
    import torch

    return network.eval().to(memory_format=torch.channels_last)


@contextlib.contextmanager
def uninitialised() -> Iterator[None]:
    """Layers keep what the memory holds: every network here loads all its tensors, and random ones cost seconds."""
    import torch

    with patch.multiple(torch.nn.init, kaiming_uniform_=_unchanged, uniform_=_unchanged):
        yield


def _unchanged(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
    return tensor


@contextlib.contextmanager
def _given(module: Any, state: State) -> Iterator[None]:
    """Replaces the module's download by the given tensors."""
    with patch.object(module, "load_state_dict_from_url", lambda *args, **kwargs: state):
        yield


def _nvidia_twin(state: State, tap: int) -> Any:
    """NVIDIA's file in torch's own functions: an affine grid shifted to TensorFlow 1's positions, then our layers."""
    import torch
    from torch.nn import functional as F

    from benchmarks.features.networks.inception import Inception

    network, output = Inception(), "pool3" if tap == 2048 else str(tap)
    network.load_state_dict(state)
    network.fold()

    class Layers(torch.nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            features = network(pixels.contiguous(memory_format=torch.channels_last), (output,))[output]
            return F.pad(features, (0, 2048 - tap))  # clean-fid requires 2048 columns

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = Layers()

        def forward(self, images: Tensor, return_features: bool = True) -> Tensor:
            theta = torch.eye(2, 3)[None].repeat(len(images), 1, 1)
            theta[:, 0, 2] = 1 / images.shape[3] - 1 / 299
            theta[:, 1, 2] = 1 / images.shape[2] - 1 / 299
            grid = F.affine_grid(theta, [len(images), 3, 299, 299], align_corners=False)
            pixels = F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
            return self.layers((pixels - 128) / 128)

    return Twin().eval()

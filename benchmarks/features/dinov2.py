"""DINOv2 ViT-L/14: class tokens, for FD-DINOv2."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, standardise, three_channels
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE, PATCH = 224, 14
FILE = "dinov2_vitl14_pretrain.pth"
WEIGHT = Weight(
    "dinov2-vitl14", "FD-DINOv2", (FILE,), "Apache-2.0", f"https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/{FILE}"
)


class Dinov2(NetworkExtractor):
    """Images are resized to 224 x 224 by antialiased bicubic in float, whatever their aspect: EDM2's default.

    EDM2 does not clip what the bicubic kernel overshoots.
    """

    name = "dinov2"
    version = 2
    paper = "Oquab et al., DINOv2, arXiv 2304.07193"
    verified = "layout"
    outputs = ("cls",)
    preprocess = "aa-bicubic-float-unclipped-224/imagenet-mean-std"
    weights = (WEIGHT,)
    architecture: ClassVar[str] = (
        "vit_large_patch14_dinov2"  # timm's name; timm names the tensors as they were published
    )

    def open(self, weights: Path | None, device: str = "cpu") -> Dinov2:
        path = locate(WEIGHT, weights)
        identity = verify(WEIGHT, path)
        network = self._network()
        try:
            network.load_state_dict(at_224(tensors(path)))
        except (RuntimeError, KeyError) as error:
            raise Fault(f"{path} is no DINOv2 of the published layout: {str(error)[:200]}") from error
        pin(WEIGHT, path)
        return self.with_network(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> Dinov2:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.with_network(self._network(), f"random-{seed}", device)

    def _network(self) -> Any:
        import timm

        return timm.create_model(self.architecture, pretrained=False, img_size=SIDE, num_classes=0)

    def prepare(self, images: Tensor) -> Tensor:
        from benchmarks.features.networks.resize import bicubic

        return bicubic(three_channels(images.to(self.device)), SIDE)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        with full_precision():
            tokens = self.network.forward_features(standardise(prepared, MEAN, STD))
        return {"cls": tokens[:, 0].float().cpu().numpy()}


def at_224(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The position embeddings for 518 pixels, resized to 224 as DINOv2's code does: bicubic, scale (16 + 0.1) / 37."""
    import torch
    from torch.nn import functional as F

    state = {name: tensor for name, tensor in state.items() if name != "mask_token"}
    positions = state["pos_embed"]
    grid, wanted = round((positions.shape[1] - 1) ** 0.5), SIDE // PATCH
    if grid != wanted:
        square = positions[:, 1:].float().reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        scale = (wanted + 0.1) / grid
        moved = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
        patches = moved.permute(0, 2, 3, 1).reshape(1, wanted * wanted, -1)
        state["pos_embed"] = torch.cat([positions[:, :1].float(), patches], dim=1)
    return state

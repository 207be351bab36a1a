"""The distance between a student's image and its teacher's: squared error, or LPIPS on local VGG weights."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.discovery import nearest
from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

DISTANCES = ("l2", "lpips")
VGG = "vgg16-397923af.pth"  # torchvision's; 553,433,881 bytes, BSD-3
LPIPS_SIZE = 224  # small images are enlarged before VGG, as DMD does


def vgg_weights() -> Path:
    """Where torchvision's VGG-16 is looked for; never downloaded."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return Path(os.environ.get("SIDBENCH_WEIGHTS", Path(home).expanduser() / "hub" / "checkpoints")) / VGG


def faults(distance: str) -> list[str]:
    """What is wrong with the name of a distance. Imports no torch."""
    if distance not in DISTANCES:
        near = nearest(distance, DISTANCES)
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(DISTANCES)}"
        return [f"unknown distance '{distance}'; {hint}"]
    return []


def missing(distance: str) -> list[str]:
    """The file this distance reads, where it is nowhere: a run needs it, a plan does not."""
    if distance != "lpips" or vgg_weights().exists():
        return []
    return [f"lpips needs {VGG} (553 MB, BSD-3, from torchvision), looked for at {vgg_weights()}; l2 needs nothing"]


def pair_distance(distance: str, x: Tensor, image: Tensor) -> Tensor:
    """One number per sample: the mean squared error, or LPIPS (Zhang et al. 2018)."""
    from sid.noise import wide

    if distance == "l2":
        return ((wide(x) - wide(image)) ** 2).flatten(1).mean(1)
    if lacking := missing(distance):
        raise Fault(lacking)
    from torch.nn.functional import interpolate

    def enlarged(batch: Tensor) -> Tensor:
        colour = batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
        return interpolate(colour.float(), (LPIPS_SIZE, LPIPS_SIZE), mode="bilinear", align_corners=False)

    network = _lpips(str(vgg_weights())).to(x.device)
    return network(enlarged(x).clamp(-1, 1), enlarged(image)).flatten()


@lru_cache
def _lpips(weights: str) -> Any:
    """torchmetrics' LPIPS head over VGG-16 from a local file."""
    import torch
    from torchmetrics.functional.image.lpips import _LPIPS

    network = _LPIPS(pretrained=True, net="vgg", pnet_rand=True, eval_mode=True)
    state = torch.load(weights, map_location="cpu", weights_only=True)
    slices = [getattr(network.net, f"slice{number}") for number in range(1, 6)]
    layers = {name: layer for part in slices for name, layer in part.named_children()}
    for name, layer in layers.items():
        if hasattr(layer, "weight"):
            layer.weight.data.copy_(state[f"features.{name}.weight"])
            layer.bias.data.copy_(state[f"features.{name}.bias"])
    return network.requires_grad_(False)

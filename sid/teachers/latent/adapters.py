"""Low-rank adapters (sid.lora) in the layout of peft and diffusers, which `load_lora_weights` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sid import atomic
from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.lora import Adapted

FILE = "pytorch_lora_weights.safetensors"


def peft_tensors(denoiser: Denoiser) -> dict[str, Tensor]:
    """A and B of every adapted layer, under the diffusers network's names.

    All have one rank (small layers are padded with zeros) and the scale is folded into B: the layout has no alphas, and
    readers take the rank for them.
    """
    part = "unet" if hasattr(denoiser.network, "unet") else "transformer"
    network: Any = getattr(denoiser.network, part)
    if not hasattr(network, "load_lora_adapter"):
        raise Fault(f"diffusers reads no adapters for a {type(network).__name__}")
    adapted = {name: layer for name, layer in network.named_modules() if isinstance(layer, Adapted)}
    if not adapted:
        raise Fault("this network has no adapters to export")
    largest = max(_rank(layer) for layer in adapted.values())
    tensors = {}
    for name, layer in adapted.items():
        down, up = _weights(layer)
        missing = largest - _rank(layer)
        tensors[f"{part}.{name}.lora_A.weight"] = torch.cat([down, down.new_zeros(missing, *down.shape[1:])])
        padded = torch.cat([layer.scale * up, up.new_zeros(up.shape[0], missing, *up.shape[2:])], dim=1)
        tensors[f"{part}.{name}.lora_B.weight"] = padded
    return {name: value.detach().contiguous().cpu() for name, value in tensors.items()}


def write_adapters(denoiser: Denoiser, folder: Path) -> Path:
    """Writes the file that a diffusers pipeline of the same teacher loads by `load_lora_weights(folder)`."""
    from safetensors.torch import save

    atomic.write_bytes(Path(folder) / FILE, save(peft_tensors(denoiser)))
    return Path(folder) / FILE


def _weights(layer: Adapted) -> tuple[Tensor, Tensor]:
    down, up = layer.down.weight, layer.up.weight
    assert isinstance(down, Tensor) and isinstance(up, Tensor)
    return down, up


def _rank(layer: Adapted) -> int:
    return _weights(layer)[0].shape[0]

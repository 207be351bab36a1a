"""Under bfloat16 autocast: a block's weights cast in one call, and norms that read and write bfloat16.

Autocast casts one weight after another, in every pass: in SDXL a third of all launches. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sid.lora import Adapted

HALF = torch.bfloat16
MULTIPLYING = (nn.Linear, nn.Conv2d)  # layers whose weights autocast casts
NORMS = ("GroupNorm", "LayerNorm")  # names of classes: torch's and the EDM networks' own
Place = tuple[nn.Module, str]


class _Cast(torch.autograd.Function):
    """Tensors in bfloat16; their gradients come back in float32, as those of autocast's own casts do."""

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_copied(weights, HALF))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        present = iter(_copied([gradient for gradient in gradients if gradient is not None], torch.float32))
        return tuple(None if gradient is None else next(present) for gradient in gradients)


def _copied(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    copies = [torch.empty_like(tensor, dtype=dtype) for tensor in tensors]
    if copies:
        torch._foreach_copy_(copies, list(tensors))
    return copies


def cast_together(block: nn.Module) -> None:
    """Casts the block's float32 weights when it is entered under autocast. Adapted layers stay as they are."""
    adapted = {id(part) for module in block.modules() if isinstance(module, Adapted) for part in module.modules()}
    layers = [part for part in block.modules() if isinstance(part, MULTIPLYING) and id(part) not in adapted]
    places: list[Place] = [(layer, name) for layer in layers for name in ("weight", "bias") if _is_wide(layer, name)]
    if places:
        _cast_within(block, places)


def _is_wide(layer: nn.Module, name: str) -> bool:
    weight = layer._parameters.get(name)
    return weight is not None and weight.dtype == torch.float32


def _cast_within(block: nn.Module, places: list[Place]) -> None:
    forward: Callable = block.forward

    def within(*args: Any, **kwargs: Any) -> Any:
        weights = [layer._parameters[name] for layer, name in places]
        if not torch.is_autocast_enabled(weights[0].device.type):  # type: ignore[union-attr]
            return forward(*args, **kwargs)
        _place(places, _Cast.apply(*weights))
        try:
            return forward(*args, **kwargs)
        finally:
            _place(places, weights)

    block.forward = within


def _place(places: Sequence[Place], weights: Sequence[Any]) -> None:
    for (layer, name), weight in zip(places, weights, strict=True):
        layer._parameters[name] = weight


def norms_in_half(network: nn.Module) -> None:
    """Norms read and write bfloat16 under autocast, which would give them float32; their sums stay in float32."""
    for module in network.modules():
        if type(module).__name__ in NORMS:
            _in_half(module)


def _in_half(norm: nn.Module) -> None:
    forward: Callable = norm.forward
    places = [(norm, name) for name in ("weight", "bias") if norm._parameters.get(name) is not None]

    def in_half(x: Tensor) -> Tensor:
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return forward(x)
        weights = [layer._parameters[name] for layer, name in places]
        _place(places, _Cast.apply(*weights) if weights else ())
        try:
            with torch.autocast(device, enabled=False):
                return forward(x.to(HALF))
        finally:
            _place(places, weights)

    norm.forward = in_half

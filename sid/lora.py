"""Low-rank adapters (LoRA, Hu et al. 2021) over a frozen denoiser, on for the critic and off for the teacher.

Teacher and critic are two views of one module: one copy of the weights, one FSDP root.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sid.condition import Condition
from sid.denoiser import X0, Denoiser, Prediction


class Adapted(nn.Module):
    """A linear or convolutional layer with B A x added to its output while switched on. B starts at zero."""

    def __init__(self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float):
        super().__init__()
        self.base = base
        self.scale = alpha / rank
        self.on = False
        self.up: nn.Module
        self.down: nn.Module
        if isinstance(base, nn.Conv2d):
            shape: dict[str, Any] = {
                name: getattr(base, name) for name in ("kernel_size", "stride", "padding", "dilation")
            }
            self.down = nn.Conv2d(base.in_channels, rank, bias=False, **shape)
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return out + self.scale * self.up(self.down(x)) if self.on else out


def adapt(denoiser: Denoiser, rank: int, alpha: float, on: bool = False) -> None:
    """Puts an adapter on every linear and every ungrouped convolutional layer of the network, in place."""
    for parent in list(denoiser.modules()):
        if isinstance(parent, Adapted):
            continue
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) or (isinstance(child, nn.Conv2d) and child.groups == 1):
                adapted = Adapted(child, min(rank, *child.weight.shape[:2]), alpha)
                adapted.on = on
                setattr(parent, name, adapted.to(child.weight.device, child.weight.dtype))


@contextmanager
def switched(adapters: Sequence[Adapted], on: Sequence[bool]) -> Iterator[None]:
    """Sets the adapters on or off for the body: a recomputed block needs them as they were in its forward pass."""
    now = [adapter.on for adapter in adapters]
    _switch(adapters, on)
    try:
        yield
    finally:
        _switch(adapters, now)


def _switch(adapters: Sequence[Adapted], on: Sequence[bool]) -> None:
    for adapter, value in zip(adapters, on, strict=True):
        adapter.on = value


class View(nn.Module):
    """An adapted denoiser with its adapters on or off."""

    def __init__(self, denoiser: Denoiser, on: bool):
        super().__init__()
        self.denoiser, self.on = denoiser, on
        self.process = denoiser.process

    def forward(
        self, x_t: Tensor, t: Tensor, condition: Condition | None = None, want: Iterable[str] = X0
    ) -> Prediction:
        for module in self.denoiser.modules():
            if isinstance(module, Adapted):
                module.on = self.on
        return self.denoiser(x_t, t, condition, want)


def adapter_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of all adapters in a module."""
    parts = [part for part in module.modules() if isinstance(part, Adapted)]
    return [parameter for part in parts for layer in (part.down, part.up) for parameter in layer.parameters()]


@torch.no_grad()
def merged_weight(layer: Adapted) -> Tensor:
    """The base's weight with its adapter folded in."""
    up, down = layer.up.weight, layer.down.weight
    assert isinstance(up, Tensor) and isinstance(down, Tensor)
    return layer.base.weight + layer.scale * (up.flatten(1) @ down.flatten(1)).view_as(layer.base.weight)


def merged_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors under the names they have without adapters, which are folded in."""
    state = dict(network.state_dict())
    for place, layer in network.named_modules():
        if not isinstance(layer, Adapted):
            continue
        before = f"{place}." if place else ""
        inner = {name: state.pop(name) for name in list(state) if name.startswith(before)}
        state |= {f"{before}{name}": inner[f"{before}base.{name}"] for name, _ in layer.base.named_parameters()}
        state[f"{before}weight"] = merged_weight(layer)
    return state

"""Exponential moving averages of parameters, with the half-life in images and its ramp (EDM, SiD)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sid.parallel.sharding import local


def decay(batch: int, images: int, halflife: float, ramp: float | None) -> float:
    """beta = 0.5^(batch / h), h = min(halflife, ramp * images); `images` is counted before this iteration.

    The first step therefore copies: h = 0 gives beta = 0.
    """
    if ramp is not None:
        halflife = min(halflife, ramp * images)
    return 0.5 ** (batch / max(halflife, 1e-8))


@torch.no_grad()
def update(average: nn.Module, source: nn.Module, beta: float) -> None:
    """average <- source + beta (average - source), of parameters only; buffers stay the teacher's.

    Each process averages its own shards: both networks are sharded alike.
    """
    averaged: list[Tensor] = [local(parameter) for parameter in average.parameters()]
    sources: list[Tensor] = [local(parameter) for parameter in source.parameters()]
    if beta == 0:
        torch._foreach_copy_(averaged, sources)
    else:
        torch._foreach_lerp_(averaged, sources, 1 - beta)

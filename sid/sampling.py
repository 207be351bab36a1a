"""Sampling: Heun's method for teachers, and bulk generation in which seeds belong to sample indices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from sid.condition import Condition, Conditions
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.generator import Generator
from sid.guidance import guided

Sampler = Callable[[Draws, Condition, tuple[int, ...], Tensor], Tensor]


@torch.no_grad()
def heun(denoiser: Denoiser, z: Tensor, condition: Condition, steps: int = 18, kappa: float = 1.0) -> Tensor:
    """EDM's deterministic sampler (Karras et al. 2022, algorithm 1): 2 steps - 1 passes, the last step Euler."""

    def slope(x: Tensor, sigma: float) -> Tensor:
        t = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
        return (x - guided(denoiser, x, t, condition, kappa).image) / sigma

    grid = [*denoiser.process.trajectory(steps), 0.0]
    x = z.double() * grid[0]
    for sigma, following in itertools.pairwise(grid):
        d = slope(x.to(z.dtype), sigma).double()
        euler = x + (following - sigma) * d
        if following > 0:
            d = (d + slope(euler.to(z.dtype), following).double()) / 2
        x = x + (following - sigma) * d
    return x.to(z.dtype)


def from_generator(generator: Generator, steps: int | None = None) -> Sampler:
    """The one- or few-step student as a sampler."""

    def sample(draws: Draws, condition: Condition, shape: tuple[int, ...], like: Tensor) -> Tensor:
        noises = [draws.normal(f"z{step}", shape, like) for step in range(generator.noises_needed(steps))]
        with torch.no_grad():
            return generator(noises, condition, steps)

    return sample


def from_teacher(denoiser: Denoiser, steps: int, kappa: float = 1.0) -> Sampler:
    """A teacher at full steps as a sampler, from the same noise as the student's."""

    def sample(draws: Draws, condition: Condition, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return heun(denoiser, draws.normal("z0", shape, like), condition, steps, kappa)

    return sample


def to_uint8(x: Tensor) -> Tensor:
    """clip(127.5 x + 128), truncated: the SiD family's rounding, which equals rounding to the nearest level."""
    return (x.float() * 127.5 + 128).clip(0, 255).to(torch.uint8)


def batches(
    sampler: Sampler,
    conditions: Conditions,
    shape: tuple[int, ...],
    indices: range,
    seed: int,
    batch: int,
    like: Tensor,
) -> Iterator[Tensor]:
    """Images in [-1, 1] of the sample indices, which do not depend on the batch size or on who else samples."""
    for first in range(indices.start, indices.stop, batch):
        draws = Draws(seed, 0, range(first, min(first + batch, indices.stop)), "sample")
        yield sampler(draws, conditions.draw(draws).to(like), shape, like)


def generate(
    sampler: Sampler,
    conditions: Conditions,
    shape: tuple[int, ...],
    indices: range,
    seed: int,
    batch: int = 1024,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """uint8 images [N, C, H, W] of the sample indices."""
    like = torch.empty(0, device=device)
    parts = batches(sampler, conditions, shape, indices, seed, batch, like)
    return np.concatenate([to_uint8(part).cpu().numpy() for part in parts])

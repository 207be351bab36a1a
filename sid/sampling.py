"""Sampling: teachers at full steps, students, and bulk generation with noise by the sample index.

EDM teachers are sampled by Heun's method, deterministic or stochastic; others by their family's own samplers.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sid.condition import Condition, Conditions
from sid.denoiser import Denoiser
from sid.discovery import UnknownName
from sid.draws import Draws
from sid.fault import Fault
from sid.generator import Generator
from sid.guidance import GuidedDenoiser, guided
from sid.teacher import SAMPLERS, family_of

Sampler = Callable[[Draws, Condition, tuple[int, ...], Tensor], Tensor]


@dataclass(frozen=True)
class Churn:
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2); 40, .05, 50, 1.003 for ImageNet-64.

    Between `low` and `high` every step first adds noise that raises sigma by the factor
    1 + min(amount / steps, sqrt(2) - 1).
    """

    amount: float
    low: float = 0.0
    high: float = math.inf
    noise: float = 1.0  # standard deviation of the added noise

    def factor(self, sigma: float, steps: int) -> float:
        return min(self.amount / steps, math.sqrt(2) - 1) if self.low <= sigma <= self.high else 0.0


@torch.no_grad()
def heun(
    denoiser: Denoiser,
    z: Tensor,
    condition: Condition,
    steps: int = 18,
    kappa: float = 1.0,
    churn: Churn | None = None,
    fresh: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """EDM's sampler (Karras et al. 2022, algorithms 1 and 2): 2 steps - 1 passes, the last step Euler.

    Args:
        denoiser: On the EDM process.
        z: Unit noise [B, C, H, W].
        condition: One condition per row.
        steps: Of the noise grid.
        kappa: Guidance scale.
        churn: The stochastic sampler; None: the image is a function of z.
        fresh: With `churn`, gives a step's unit noise.
    """

    def slope(x: Tensor, sigma: float) -> Tensor:
        t = torch.full((len(x),), sigma, dtype=x.dtype, device=x.device)
        return (x - guided(denoiser, x, t, condition, kappa).image) / sigma

    grid = [*denoiser.process.trajectory(steps), 0.0]
    x = z.double() * grid[0]
    for step, (sigma, following) in enumerate(itertools.pairwise(grid)):
        raised = sigma * (1 + churn.factor(sigma, steps)) if churn is not None else sigma
        if churn is not None and raised > sigma:
            assert fresh is not None, "a stochastic sampler needs fresh noise"
            x = x + math.sqrt(raised**2 - sigma**2) * churn.noise * fresh(step).double()
        d = slope(x.to(z.dtype), raised).double()
        euler = x + (following - raised) * d
        if following > 0:
            d = (d + slope(euler.to(z.dtype), following).double()) / 2
        x = x + (following - raised) * d
    return x.to(z.dtype)


def from_generator(generator: Generator, steps: int | None = None, kappa: float = 1.0) -> Sampler:
    """The one- or few-step student as a sampler; `kappa` guides each of its steps, which students do without."""
    if kappa != 1:
        under: Any = GuidedDenoiser(generator.denoiser, kappa)
        generator = Generator(under, generator.chain)

    def sample(draws: Draws, condition: Condition, shape: tuple[int, ...], like: Tensor) -> Tensor:
        noises = [draws.normal(f"z{step}", shape, like) for step in range(generator.noises_needed(steps))]
        with torch.no_grad():
            return generator(noises, condition, steps)

    return sample


def from_teacher(
    denoiser: Denoiser, steps: int, kappa: float = 1.0, name: str | None = None, churn: Churn | None = None
) -> Sampler:
    """A teacher at full steps as a sampler, from the same noise as the student's.

    Args:
        denoiser: The teacher.
        steps: Of the sampler.
        kappa: Guidance scale.
        name: One of SAMPLERS for the teacher's process; None: the first.
        churn: Heun's sampler with added noise, which is drawn by the sample index too.
    """
    kind = denoiser.process.kind
    name = SAMPLERS[kind][0] if name is None else name
    if name not in SAMPLERS[kind]:
        raise UnknownName(f"sampler of a teacher on the {kind} process", name, SAMPLERS[kind])
    if steps < 1:
        raise Fault(f"a teacher needs at least 1 step (got {steps})")

    def sample(draws: Draws, condition: Condition, shape: tuple[int, ...], like: Tensor) -> Tensor:
        def fresh(step: int) -> Tensor:
            return draws.normal(f"churn{step}", shape, like)

        z = draws.normal("z0", shape, like)
        if name == "heun":
            return heun(denoiser, z, condition, steps, kappa, churn, fresh)
        return family_of(denoiser.family).sample(denoiser, z, condition, steps, kappa, name)

    return sample


OFFSETS = {"round": 128.0, "truncate": 127.5}  # of clip(127.5 x + offset), truncated


def to_uint8(x: Tensor, rule: str = "round") -> Tensor:
    """Floats in [-1, 1] to grey levels. The rules differ by half a level, which moves a FID.

    `round`: EDM and SiD, equal to rounding to the nearest level, as diffusers does. `truncate`: DMD2, GigaGAN.
    """
    return (x.float() * 127.5 + OFFSETS[rule]).clip(0, 255).to(torch.uint8)


def batches(
    sampler: Sampler,
    conditions: Conditions,
    shape: tuple[int, ...],
    indices: range,
    seed: int,
    batch: int,
    like: Tensor,
) -> Iterator[Tensor]:
    """What the sampler makes of the sample indices, whatever the batch size and the number of processes.

    Args:
        sampler: Of a student or a teacher.
        conditions: Drawn by the sample index.
        shape: Of one sample, [C, H, W].
        indices: Of the samples.
        seed: With the index it decides a sample's noise and condition.
        batch: Samples at once; half as many from there on where a GPU's memory ends.
        like: A tensor of the device and dtype to sample on.
    """
    first = indices.start
    while first < indices.stop:
        draws = Draws(seed, 0, range(first, min(first + batch, indices.stop)), "sample")
        images = _made(sampler, conditions, shape, draws, like)
        if images is None:
            batch = len(draws.indices) // 2
            continue
        yield images
        first = draws.indices.stop


def _made(
    sampler: Sampler, conditions: Conditions, shape: tuple[int, ...], draws: Draws, like: Tensor
) -> Tensor | None:
    """A batch; None where memory ends, and another batch could be smaller."""
    try:
        return sampler(draws, conditions.draw(draws).to(like), shape, like)
    except torch.OutOfMemoryError:
        if len(draws.indices) == 1:
            raise
        return None  # what the error holds in memory is free once it is handled


def pictures(
    sampler: Sampler,
    conditions: Conditions,
    shape: tuple[int, ...],
    indices: range,
    seed: int,
    batch: int = 1024,
    device: torch.device | str = "cpu",
    decode: Callable[[Tensor], Tensor] | None = None,
    quantiser: str = "round",
) -> Iterator[np.ndarray]:
    """uint8 images [N, C, H, W] of the sample indices in order, a batch at a time.

    From a GPU a batch is copied while the next one is computed.

    Args as of `batches`, and
        decode: Turns latents into images in [-1, 1].
        quantiser: A rule of `to_uint8`.
    """

    def made(draws: Draws, condition: Condition, shape: tuple[int, ...], like: Tensor) -> Tensor:
        images = sampler(draws, condition, shape, like)
        return to_uint8(images if decode is None else decode(images), quantiser)

    waiting: deque[Callable[[], np.ndarray]] = deque()
    for images in batches(made, conditions, shape, indices, seed, batch, torch.empty(0, device=device)):
        waiting.append(_copied(images))
        if images.device.type != "cuda" or len(waiting) > 1:
            yield waiting.popleft()()
    yield from (arrive() for arrive in waiting)


def _copied(images: Tensor) -> Callable[[], np.ndarray]:
    """Begins to copy images to the CPU, and returns what waits for them."""
    if images.device.type != "cuda":
        return lambda: images.cpu().numpy()
    copy = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
    copy.copy_(images, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def arrive() -> np.ndarray:
        done.synchronize()
        return copy.numpy()

    return arrive


def generate(*args: Any, **more: Any) -> np.ndarray:
    """All of `pictures` in one array."""
    return np.concatenate(list(pictures(*args, **more)))

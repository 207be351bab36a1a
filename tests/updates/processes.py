"""The three noise processes as the papers print them: coefficients, times, predictions and the critic's residual.

EDM: Karras et al. 2022, Table 1 and eq. 5. VP: DDPM's discrete process with Stable Diffusion's betas; eps and v as in
Salimans & Ho 2022. Flow: rectified flow, x_t = (1 - t) x + t eps, with the law of SiD-DiT (arXiv 2509.25127).
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.special import ndtri

SIGMA_DATA = 0.5
LOW, HIGH = 0.002 ** (1 / 7), 80 ** (1 / 7)  # of the rho = 7 schedule
ABAR = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)


def wide(value: Tensor) -> Tensor:
    """[B] as [B, 1, 1, 1]."""
    return value[:, None, None, None]


def total(x: Tensor) -> Tensor:
    """The sum over each sample's elements."""
    return x.flatten(1).sum(1)


class PlainProcess(Protocol):
    """What a loss asks of a process; `u` is one number in (0, 1) per sample."""

    start: float  # the level at which SiD's one-step generator is entered

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    def times(self, value: float, size: int) -> Tensor: ...

    def x0(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor: ...

    def features(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor: ...

    def critic_times(self, u: Tensor) -> Tensor: ...

    def generator_times(self, u: Tensor) -> Tensor: ...

    def every_time(self, u: Tensor) -> Tensor: ...

    def indexed(self, u: Tensor, low: int, high: int, discrete: bool) -> Tensor: ...

    def residual(self, x: Tensor, eps: Tensor, t: Tensor, psi: Tensor) -> Tensor: ...

    def weight(self, t: Tensor) -> Tensor: ...

    def chain(self, start: float, steps: int) -> list[float]: ...

    def trajectory(self, steps: int) -> list[float]: ...


class PlainEdm:
    """x_t = x + sigma eps; t is sigma."""

    start = 2.5

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t

    def times(self, value: float, size: int) -> Tensor:
        return torch.full((size,), value, dtype=torch.float64)

    def x0(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        s, square = wide(t), wide(t**2 + SIGMA_DATA**2)
        output = network(x_t / square.sqrt(), t.log() / 4, "x0")
        return SIGMA_DATA**2 / square * x_t + s * SIGMA_DATA / square.sqrt() * output

    def features(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t / wide(t**2 + SIGMA_DATA**2).sqrt(), t.log() / 4, "features")

    def critic_times(self, u: Tensor) -> Tensor:
        return torch.exp(-1.2 + 1.2 * ndtri(u))

    every_time = critic_times

    def generator_times(self, u: Tensor) -> Tensor:
        """Uniform in the index of 1000, up to 800: sigma 24.41."""
        return ((1 - 0.8 * u) * LOW + 0.8 * u * HIGH) ** 7

    def indexed(self, u: Tensor, low: int, high: int, discrete: bool) -> Tensor:
        index = (low + (u * (high - low + 1)).floor()) / 999 if discrete else (low + u * (high - low)) / 1000
        return ((1 - index) * LOW + index * HIGH) ** 7

    def weight(self, t: Tensor) -> Tensor:
        return (t**2 + SIGMA_DATA**2) / (t * SIGMA_DATA) ** 2

    def residual(self, x: Tensor, eps: Tensor, t: Tensor, psi: Tensor) -> Tensor:
        return self.weight(t) * total((psi - x) ** 2)

    def chain(self, start: float, steps: int) -> list[float]:
        return [start * (1 - k / steps) for k in range(steps)]

    def trajectory(self, steps: int) -> list[float]:
        return [(HIGH + i / (steps - 1) * (LOW - HIGH)) ** 7 for i in range(steps)]


class PlainVp:
    """x_t = sqrt(abar) x + sqrt(1 - abar) eps; t is one of 1000 steps. The network says eps, or v = a eps - sigma x."""

    start = 625

    def __init__(self, says: str):
        self.says = says

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return ABAR[t].sqrt(), (1 - ABAR[t]).sqrt()

    def times(self, value: float, size: int) -> Tensor:
        return torch.full((size,), int(value))

    def x0(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        a, sigma = (wide(level) for level in self.levels(t))
        output = network(x_t, t, "x0")
        return (x_t - sigma * output) / a if self.says == "eps" else a * x_t - sigma * output

    def features(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, "features")

    def critic_times(self, u: Tensor) -> Tensor:
        return (20 + (960 * u).floor()).long()

    generator_times = critic_times

    def every_time(self, u: Tensor) -> Tensor:
        return (1000 * u).floor().long()

    def indexed(self, u: Tensor, low: int, high: int, discrete: bool) -> Tensor:
        return (low + ((high - low + 1) * u).floor()).long()

    def weight(self, t: Tensor) -> Tensor:
        return ABAR[t] / (1 - ABAR[t])

    def residual(self, x: Tensor, eps: Tensor, t: Tensor, psi: Tensor) -> Tensor:
        """The squared eps error."""
        a, sigma = (wide(level) for level in self.levels(t))
        said = (a * x + sigma * eps - a * psi) / sigma
        return total((said - eps) ** 2)

    def chain(self, start: float, steps: int) -> list[float]:
        return [int(start * (1 - k / steps)) for k in range(steps)]

    def trajectory(self, steps: int) -> list[float]:
        return [round(1000 * (1 - k / steps)) - 1 for k in range(steps)]


class PlainFlow:
    """x_t = (1 - t) x + t eps; the network says eps - x."""

    start = 0.999

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def times(self, value: float, size: int) -> Tensor:
        return torch.full((size,), value, dtype=torch.float64)

    def x0(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        return x_t - wide(t) * network(x_t, t, "x0")

    def features(self, network: Any, x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, "features")

    def critic_times(self, u: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-(math.log(2) + 1.6 * ndtri(u))))

    generator_times = critic_times

    def every_time(self, u: Tensor) -> Tensor:
        """Esser et al. 2024, section 3.1: the logit-normal law, mean 0 and deviation 1."""
        return 1 / (1 + torch.exp(-ndtri(u)))

    def indexed(self, u: Tensor, low: int, high: int, discrete: bool) -> Tensor:
        first, last = max(low / 1000, 0.001), min(high / 1000, 0.999)
        return first + u * (last - first)

    def weight(self, t: Tensor) -> Tensor:
        return 1 / t**2

    def residual(self, x: Tensor, eps: Tensor, t: Tensor, psi: Tensor) -> Tensor:
        """The squared velocity error."""
        x_t = (1 - wide(t)) * x + wide(t) * eps
        return total(((x_t - psi) / wide(t) - (eps - x)) ** 2)

    def chain(self, start: float, steps: int) -> list[float]:
        return [start * (1 - k / steps) for k in range(steps)]

    def trajectory(self, steps: int) -> list[float]:
        return [1 - k / steps for k in range(steps)]

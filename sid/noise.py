"""Noise processes: x_t = a_t x_0 + sigma_t eps, and the conversions between x0, eps, v and flow.

`t` is the process's own time: sigma for EDM, the integer timestep for VP, t in [0, 1] for flow.
All conversions run in float32 at least: near t = T a VP process divides by a_t = 0.07.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sid.laws import KarrasUniform, LogitNormal, LogNormal, TimeLaw, Uniform, UniformStep


def wide(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it already is."""
    return x if x.dtype == torch.float64 else x.float()


def over(value: Tensor, like: Tensor) -> Tensor:
    """A per-sample value [B] shaped to multiply a batch [B, ...]."""
    return value.reshape(-1, *[1] * (like.ndim - 1)).to(wide(like).dtype)


class Process(ABC):
    """A noise process and the conversions that follow from its two coefficients."""

    kind: str
    t_init: float  # where a one-step generator enters by default
    t_max: float  # where a full sampler starts

    @abstractmethod
    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a_t, sigma_t), each [B]."""

    @abstractmethod
    def training_law(self) -> TimeLaw:
        """The law of t on which a teacher of this process is trained."""

    @abstractmethod
    def critic_law(self) -> TimeLaw:
        """The law of t on which a critic is trained by default."""

    @abstractmethod
    def generator_law(self, t_max: float) -> TimeLaw:
        """The law of t on which a generator is trained by default, up to `t_max` of 1000."""

    @abstractmethod
    def critic_weight(self, t: Tensor) -> Tensor:
        """What multiplies the squared x0 error in the critic's usual loss."""

    @abstractmethod
    def uniform_law(self, low: float, high: float) -> TimeLaw:
        """Uniform in the process's own index, from `low` to `high` of 1000 (DMD2's law)."""

    @abstractmethod
    def trajectory(self, steps: int) -> list[float]:
        """The times of a full sampler with that many steps, from the noisiest down, without the final 0."""

    @abstractmethod
    def grid(self, t_init: float, steps: int) -> list[float]:
        """The times of a K-step chain: t_init (1 - (k-1)/K), k = 1..K."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Its kind and constants, for records."""

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        a, sigma = self.coefficients(t)
        return over(a, x0) * x0 + over(sigma, x0) * eps

    def eps_from_x0(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        a, sigma = self.coefficients(t)
        return (wide(x_t) - over(a, x_t) * wide(x0)) / over(sigma, x_t)

    def x0_from_eps(self, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        a, sigma = self.coefficients(t)
        return (wide(x_t) - over(sigma, x_t) * wide(eps)) / over(a, x_t)

    def x0_from_v(self, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """v = a eps - sigma x0 (Salimans & Ho 2022); divided by a^2 + sigma^2, which is 1 on a VP process."""
        a, sigma = (over(value, x_t) for value in self.coefficients(t))
        return (a * wide(x_t) - sigma * wide(v)) / (a * a + sigma * sigma)

    def x0_from_flow(self, x_t: Tensor, flow: Tensor, t: Tensor) -> Tensor:
        """flow = eps - x0, so x_t = (a + sigma) x0 + sigma flow; a + sigma is 1 on a flow process."""
        a, sigma = (over(value, x_t) for value in self.coefficients(t))
        return (wide(x_t) - sigma * wide(flow)) / (a + sigma)

    def flow_from_x0(self, x_t: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        a, sigma = (over(value, x_t) for value in self.coefficients(t))
        return (wide(x_t) - (a + sigma) * wide(x0)) / sigma

    def log_noise_level(self, t: Tensor) -> Tensor:
        """ln(sigma / a): the noise level on one scale for every process."""
        a, sigma = self.coefficients(t)
        return torch.log(sigma / a)


@dataclass(frozen=True)
class Edm(Process):
    """a = 1, sigma = t (Karras et al. 2022)."""

    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    kind = "edm"
    t_init = 2.5

    @property
    def t_max(self) -> float:  # type: ignore[override]
        return self.sigma_max

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        t = wide(t)
        return torch.ones_like(t), t

    def training_law(self) -> TimeLaw:
        return LogNormal()

    def critic_law(self) -> TimeLaw:
        return self.training_law()

    def generator_law(self, t_max: float) -> TimeLaw:
        return self.uniform_law(0.0, t_max)

    def uniform_law(self, low: float, high: float) -> TimeLaw:
        return KarrasUniform(high, self.sigma_min, self.sigma_max, self.rho, low)

    def trajectory(self, steps: int) -> list[float]:
        """The rho = 7 grid (Karras et al. 2022, eq. 5)."""
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        return [(high + i / max(steps - 1, 1) * (low - high)) ** self.rho for i in range(steps)]

    def critic_weight(self, t: Tensor) -> Tensor:
        """lambda(sigma) = 1/sigma^2 + 1/sigma_data^2."""
        return wide(t) ** -2 + self.sigma_data**-2

    def grid(self, t_init: float, steps: int) -> list[float]:
        return [t_init * (1 - k / steps) for k in range(steps)]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "edm", "sigma_data": self.sigma_data, "sigma_min": self.sigma_min, "sigma_max": self.sigma_max}


class VpDiscrete(Process):
    """The discrete variance-preserving process of DDPM: a^2 = prod(1 - beta), sigma^2 = 1 - a^2.

    Defaults are Stable Diffusion's: beta scaled-linear from 0.00085 to 0.012 over 1000 steps.
    """

    kind = "vp"
    t_init = 625

    def __init__(
        self,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        steps: int = 1000,
        schedule: str = "scaled_linear",
        alphas_cumprod: Tensor | None = None,
    ):
        self.constants = {"beta_start": beta_start, "beta_end": beta_end, "steps": steps, "schedule": schedule}
        if alphas_cumprod is None:
            if schedule == "scaled_linear":
                betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float64) ** 2
            elif schedule == "linear":
                betas = torch.linspace(beta_start, beta_end, steps, dtype=torch.float64)
            else:
                raise ValueError(f"unknown beta schedule '{schedule}': scaled_linear or linear")
            alphas_cumprod = torch.cumprod(1 - betas, dim=0)
        self.alphas_cumprod = alphas_cumprod.double()
        self.t_max = len(self.alphas_cumprod) - 1
        self._moved: dict[torch.device, Tensor] = {}

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        if t.device not in self._moved:
            self._moved[t.device] = self.alphas_cumprod.to(t.device)
        squared = self._moved[t.device][t.long()]
        return squared.sqrt(), (1 - squared).sqrt()

    def training_law(self) -> TimeLaw:
        return UniformStep(0, len(self.alphas_cumprod) - 1)

    def critic_law(self) -> TimeLaw:
        return UniformStep(20, 979)

    def generator_law(self, t_max: float) -> TimeLaw:
        return UniformStep(20, 979)

    def uniform_law(self, low: float, high: float) -> TimeLaw:
        return UniformStep(int(low), int(high))

    def trajectory(self, steps: int) -> list[float]:
        """Trailing spacing: the last training step is the first one sampled."""
        count = len(self.alphas_cumprod)
        return [round(count * (1 - k / steps)) - 1 for k in range(steps)]

    def critic_weight(self, t: Tensor) -> Tensor:
        """a^2/sigma^2, which makes the squared x0 error the squared eps error."""
        a, sigma = self.coefficients(t)
        return (a / sigma) ** 2

    def grid(self, t_init: float, steps: int) -> list[float]:
        """Truncated, not rounded, as the published sampler does: 625, 468, 312, 156."""
        return [int(t_init * (1 - k / steps)) for k in range(steps)]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "vp", **self.constants}


@dataclass(frozen=True)
class Flow(Process):
    """a = 1 - t, sigma = t (rectified flow)."""

    kind = "flow"
    t_init = 0.999
    t_max = 1.0

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        t = wide(t)
        return 1 - t, t

    def training_law(self) -> TimeLaw:
        """rf/lognorm(0.00, 1.00) of Esser et al. 2024 (arXiv 2403.03206, section 3.1)."""
        return LogitNormal(0.0, 1.0)

    def critic_law(self) -> TimeLaw:
        return LogitNormal()

    def generator_law(self, t_max: float) -> TimeLaw:
        return LogitNormal()

    def uniform_law(self, low: float, high: float) -> TimeLaw:
        return Uniform(max(low / 1000, 1e-3), min(high / 1000, 0.999))

    def trajectory(self, steps: int) -> list[float]:
        return [1 - k / steps for k in range(steps)]

    def critic_weight(self, t: Tensor) -> Tensor:
        """1/t^2, which makes the squared x0 error the squared flow error."""
        return wide(t) ** -2

    def grid(self, t_init: float, steps: int) -> list[float]:
        return [t_init * (1 - k / steps) for k in range(steps)]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "flow"}

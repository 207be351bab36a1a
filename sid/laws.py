"""Time laws: each is the inverse of a distribution function, applied to one uniform number per sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogNormal:
    """ln sigma ~ N(mean, std^2): the EDM training law (Karras et al. 2022, Table 1)."""

    mean: float = -1.2
    std: float = 1.2

    def quantile(self, u: Tensor) -> Tensor:
        return torch.exp(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class KarrasUniform:
    """Uniform in the index of the rho = 7 schedule, up to `t_max` of 1000 (SiD, section 4): 800 is sigma 24.41."""

    t_max: float = 800.0
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    t_min: float = 0.0

    def quantile(self, u: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        index = (self.t_min + u * (self.t_max - self.t_min)) / 1000
        return (high + (1 - index) * (low - high)) ** self.rho


@dataclass(frozen=True)
class KarrasStep:
    """A level of {low, ..., high} of the rho = 7 schedule's 1000, 999 being sigma_max (DMD, DMD2): 980 is 72.05."""

    low: int = 20
    high: int = 980
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def quantile(self, u: Tensor) -> Tensor:
        index = (self.low + torch.floor(u * (self.high - self.low + 1))) / 999
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (low + index * (high - low)) ** self.rho


@dataclass(frozen=True)
class UniformStep:
    """A timestep of {low, ..., high}, both ends included."""

    low: int = 20
    high: int = 979

    def quantile(self, u: Tensor) -> Tensor:
        return (self.low + torch.floor(u * (self.high - self.low + 1))).long()


@dataclass(frozen=True)
class LogitNormal:
    """t = sigmoid(N(mean, std^2)): the flow law of SiD-DiT (mean ln 2, std 1.6)."""

    mean: float = math.log(2)
    std: float = 1.6

    def quantile(self, u: Tensor) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class Uniform:
    """t uniform in [low, high]."""

    low: float = 0.0
    high: float = 1.0

    def quantile(self, u: Tensor) -> Tensor:
        return self.low + u * (self.high - self.low)


TimeLaw = LogNormal | KarrasUniform | KarrasStep | UniformStep | LogitNormal | Uniform

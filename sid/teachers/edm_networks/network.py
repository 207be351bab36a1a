"""The published preconditioners between a denoiser and the plain network, which is under `model`.

EDM's own scaling is in `sid.denoiser`; the VP, VE and iDDPM wrappers of older files scale by themselves and return x0
 (Karras et al. 2022, Table 1 and appendix C).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid.condition import Condition
from sid.noise import over, wide


def class_vector(condition: Condition, classes: int, like: Tensor) -> Tensor | None:
    """One-hot rows; zeros for a missing label. None for an unconditional network."""
    if not classes:
        return None
    if condition.labels is None:
        return like.new_zeros(1, classes, dtype=wide(like).dtype)
    labels = condition.labels.to(like.device)
    rows = F.one_hot(labels.clamp_min(0), classes).to(wide(like).dtype)
    return rows * (labels >= 0)[:, None]


class EdmNetwork(nn.Module):
    """`model` under the denoiser's call: network(x, label, condition, want) -> (output, features).

    With `half`, activations are float16 on CUDA, as in the published code; weights stay float32.
    """

    def __init__(self, model: nn.Module, classes: int = 0, half: bool = False):
        super().__init__()
        self.model, self.classes, self.half_precision = model, classes, half

    def forward(
        self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]
    ) -> tuple[Tensor | None, Tensor | None]:
        labels = class_vector(condition, self.classes, x)
        if self.half_precision and x.is_cuda:
            x = x.half()
        return self.model(x, time.flatten(), labels, condition.augment, want)


@dataclass(frozen=True)
class Scaling:
    """D(x, sigma) = x + c_out F(c_in x, c_noise), each a function of sigma."""

    c_out: Callable[[Tensor], Tensor]
    c_in: Callable[[Tensor], Tensor]
    c_noise: Callable[[Tensor], Tensor]


def vp_scaling(steps: int = 1000, beta_d: float = 19.9, beta_min: float = 0.1) -> Scaling:
    """Continuous VP: sigma(t)^2 = exp(beta_d t^2 / 2 + beta_min t) - 1, inverted for the noise label."""

    def time(sigma: Tensor) -> Tensor:
        return ((beta_min**2 + 2 * beta_d * (1 + sigma**2).log()).sqrt() - beta_min) / beta_d

    return Scaling(lambda sigma: -sigma, lambda sigma: (sigma**2 + 1).rsqrt(), lambda sigma: (steps - 1) * time(sigma))


def ve_scaling() -> Scaling:
    return Scaling(lambda sigma: sigma, torch.ones_like, lambda sigma: (sigma / 2).log())


class ScaledNetwork(EdmNetwork):
    """A network with one of the older wrappers, which returns x0; spare output channels (iDDPM) are dropped."""

    def __init__(self, model: nn.Module, scaling: Scaling, classes: int = 0, half: bool = False):
        super().__init__(model, classes, half)
        self.scaling = scaling

    def forward(
        self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]
    ) -> tuple[Tensor | None, Tensor | None]:
        sigma = wide(time).flatten()
        scaled = over(self.scaling.c_in(sigma), x).to(x) * x
        output, features = super().forward(scaled, self.noise_label(sigma), condition, want)
        if output is not None:
            output = wide(x) + over(self.scaling.c_out(sigma), x) * wide(output[:, : x.shape[1]])
        return output, features

    def noise_label(self, sigma: Tensor) -> Tensor:
        return self.scaling.c_noise(sigma)


class IddpmNetwork(ScaledNetwork):
    """The discrete cosine schedule: the label is the index of the nearest noise level of the buffer `u`.

    u_{j-1} = sqrt((u_j^2 + 1) / max(abar_{j-1} / abar_j, C_1) - 1), downwards from u_M = 0.
    """

    u: Tensor

    def __init__(
        self, model: nn.Module, classes: int, half: bool, steps: int = 1000, c_1: float = 0.001, c_2: float = 0.008
    ):
        super().__init__(model, Scaling(torch.neg, vp_scaling().c_in, torch.log), classes, half)
        alpha_bar = [math.sin(math.pi / 2 * j / steps / (c_2 + 1)) ** 2 for j in range(steps + 1)]
        levels = [0.0] * (steps + 1)
        for j in range(steps, 0, -1):
            ratio = max(alpha_bar[j - 1] / alpha_bar[j], c_1)
            levels[j - 1] = math.sqrt((levels[j] ** 2 + 1) / ratio - 1)
        self.register_buffer("u", torch.tensor(levels))

    def noise_label(self, sigma: Tensor) -> Tensor:
        nearest = (sigma[:, None] - self.u.to(sigma.dtype)[None]).abs().argmin(dim=1)
        return (len(self.u) - 2 - nearest).to(sigma.dtype)

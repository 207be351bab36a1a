"""Classifier-free guidance, and the one place that knows it (Ho & Salimans 2022).

g(kappa) = uncond + kappa (cond - uncond). x0 is affine in eps with coefficients that do not depend on the
condition, so guiding x0 and guiding eps are the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sid.condition import Condition, cat
from sid.denoiser import X0, Denoiser, Prediction


@dataclass(frozen=True)
class Guidance:
    """The four scales of long-short guidance (SiD-LSG, arXiv 2406.01561).

    k1 trains the critic; k2 is the critic in the difference teacher - critic of the generator's loss and k3 in its
    difference critic - x; k4 is the teacher. With an expressive critic, g(k1) of the critic becomes the generator's
    true denoiser, so k1 = k2 = k3 is the unbiased choice.
    """

    k1: float = 1.0
    k2: float = 1.0
    k3: float = 1.0
    k4: float = 1.0

    @property
    def needs_null(self) -> bool:
        """Whether any network is asked without its condition."""
        return any(kappa != 1 for kappa in (self.k1, self.k2, self.k3, self.k4))


NONE = Guidance()
ZERO_CFG = Guidance(0.0, 0.0, 0.0, 1.0)  # the critic never sees text (few-step SiD, arXiv 2505.12674)
# Scales of Anti-CFG not confirmed in the paper's appendix: -1 for the critic and 1 for the teacher are recalled.
ANTI_CFG = Guidance(-1.0, -1.0, -1.0, 1.0)


def lsg(kappa: float) -> Guidance:
    """Long-short guidance: all four scales equal."""
    return Guidance(kappa, kappa, kappa, kappa)


def guided(
    denoiser: Denoiser,
    x_t: Tensor,
    t: Tensor,
    condition: Condition,
    kappa: float,
    want: frozenset[str] = X0,
) -> Prediction:
    """The guided prediction; kappa 0 and 1 cost one pass, any other one batched pass.

    Features come from the conditional half (from the only one there is at kappa 0).
    """
    return guided_pair(denoiser, x_t, t, condition, (kappa,), want)[0]


def guided_pair(
    denoiser: Denoiser,
    x_t: Tensor,
    t: Tensor,
    condition: Condition,
    kappas: tuple[float, ...],
    want: frozenset[str] = X0,
) -> tuple[Prediction, ...]:
    """The predictions at several scales from the passes that the costliest of them needs."""
    if condition.empty or all(kappa == 1 for kappa in kappas):
        return (denoiser(x_t, t, condition, want),) * len(kappas)
    if all(kappa == 0 for kappa in kappas):
        return (denoiser(x_t, t, condition.unconditional(), want),) * len(kappas)
    both = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), cat([condition.unconditional(), condition]), want)
    features = None if both.features is None else both.features.chunk(2)[1]
    if both.x0 is None:
        return (Prediction(features=features),) * len(kappas)
    without, given = both.x0.chunk(2)
    return tuple(Prediction(x0=without + kappa * (given - without), features=features) for kappa in kappas)

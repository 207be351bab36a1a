"""Classifier-free guidance (Ho & Salimans 2022); no other file implements it.

g(kappa) = uncond + kappa (cond - uncond). x0 is affine in eps with coefficients that do not depend on the
condition, so guiding x0 and guiding eps are the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sid.condition import Condition, cat
from sid.denoiser import FEATURES, X0, Denoiser, Prediction


def guided(
    denoiser: Denoiser,
    x_t: Tensor,
    t: Tensor,
    condition: Condition,
    kappa: float,
    want: frozenset[str] = X0,
) -> Prediction:
    """The guided prediction; kappa 0 and 1 cost one pass, any other one batched pass.

    Features come from the conditional half at every kappa: at kappa 0 a pass of the encoder alone gives them.
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
    """The predictions at several scales from the passes of the costliest of them.

    A discriminator compares the features with those of real images under their own condition. Features without the
    condition would let it tell a condition from none, whatever the images are.
    """
    if condition.empty or all(kappa == 1 for kappa in kappas):
        return (denoiser(x_t, t, condition, want),) * len(kappas)
    if all(kappa == 0 for kappa in kappas):
        x0 = denoiser(x_t, t, condition.unconditional(), want - FEATURES).x0 if "x0" in want else None
        features = denoiser(x_t, t, condition, FEATURES).features if "features" in want else None
        return (Prediction(x0=x0, features=features),) * len(kappas)
    both = denoiser(torch.cat([x_t, x_t]), torch.cat([t, t]), cat([condition.unconditional(), condition]), want)
    features = None if both.features is None else both.features.chunk(2)[1]
    if both.x0 is None:
        return (Prediction(features=features),) * len(kappas)
    without, given = both.x0.chunk(2)
    return tuple(Prediction(x0=without + kappa * (given - without), features=features) for kappa in kappas)


class GuidedDenoiser(nn.Module):
    """A denoiser under classifier-free guidance: a generator that is sampled with a scale of its own."""

    def __init__(self, denoiser: Denoiser, kappa: float):
        super().__init__()
        self.denoiser, self.kappa, self.process = denoiser, kappa, denoiser.process
        self.family, self.settings, self.prediction = denoiser.family, denoiser.settings, denoiser.prediction

    def forward(
        self, x_t: Tensor, t: Tensor, condition: Condition | None = None, want: Iterable[str] = X0
    ) -> Prediction:
        return guided(self.denoiser, x_t, t, condition or Condition(), self.kappa, frozenset(want))

"""The density ratio r = p/q of data and generator that a discriminator knows, and its weight in an f-divergence.

Trained by cross-entropy on as many real as generated images, a discriminator tends to D = p / (p + q), so r = e^logit.
D_f = E_q f(p/q) has the gradient E_q[h(r) (s_q - s_p) dx/dtheta] with h(r) = r^2 f''(r) (f-distill, arXiv 2502.15681):

    reverse-kl            f = -log r                                h = 1
    softened-reverse-kl   f = (r + 1) log((r + 1) / (2 r))          h = 1 / (r + 1)
    jensen-shannon        f = r log r - (r + 1) log((r + 1) / 2)    h = r / (r + 1)
    hellinger             f = 4 (1 - sqrt r)                        h = sqrt r
    forward-kl            f = r log r                               h = r
    jeffreys              f = (r - 1) log r                         h = r + 1

h = 1 is distribution matching. Imports no torch before it is used: methods check names by `DIVERGENCES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sid.discovery import unknown

if TYPE_CHECKING:
    from torch import Tensor

DIVERGENCES = ("reverse-kl", "softened-reverse-kl", "jensen-shannon", "hellinger", "forward-kl", "jeffreys")
CLAMP = 10.0  # of the logits, as SiDA clamps its generator's


def divergence_faults(name: str, known: tuple[str, ...] = DIVERGENCES) -> list[str]:
    """The sentence for a divergence that is none of `known`."""
    return [] if name in known else [unknown("divergence", name, known)]


def weight(divergence: str, logit: Tensor) -> Tensor:
    """h(r) of each sample [B]; `logit` is one per sample, or a map whose mean counts."""
    import torch

    log_ratio = logit.flatten(1).mean(1).clamp(-CLAMP, CLAMP) if logit.ndim > 1 else logit.clamp(-CLAMP, CLAMP)
    if divergence == "reverse-kl":
        return torch.ones_like(log_ratio)
    if divergence == "softened-reverse-kl":
        return torch.sigmoid(-log_ratio)
    if divergence == "jensen-shannon":
        return torch.sigmoid(log_ratio)
    if divergence == "hellinger":
        return torch.exp(log_ratio / 2)
    if divergence == "forward-kl":
        return torch.exp(log_ratio)
    if divergence == "jeffreys":
        return torch.exp(log_ratio) + 1
    raise ValueError(unknown("divergence", divergence, DIVERGENCES))


def with_mean_one(weights: Tensor) -> Tensor:
    """The weights over their mean in the micro-batch, in which a NaN sample has no part."""
    import torch

    missing = torch.isnan(weights)
    mean = torch.where(missing, 0.0, weights).sum() / (~missing).sum().clamp_min(1)
    return weights / mean.clamp_min(torch.finfo(weights.dtype).tiny)

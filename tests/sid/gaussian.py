"""The closed Gaussian case: the exact expected gradients of the losses, for any student.

Teacher N(mu, v), generator x = m + s z, noise sigma with a = 1; S = s^2 + sigma^2, Q = v + sigma^2. Every function
gives (d/dm, d/d ln s) of the mean loss, with exact teacher and critic.
"""

from __future__ import annotations

import torch
from torch import Tensor


def variances(ln_s: Tensor | float, v: float, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """s^2, S and Q."""
    s2 = torch.as_tensor(2 * ln_s, dtype=torch.float64).exp()
    return s2, s2 + sigma**2, torch.tensor(v + sigma**2, dtype=torch.float64)


def sid(m: Tensor | float, ln_s: Tensor | float, mu: float, v: float, sigma: float, alpha: float) -> Tensor:
    s2, S, Q = variances(ln_s, v, sigma)
    gap = 1 / Q - 1 / S
    return torch.stack(
        [
            sigma**4 * (m - mu) / Q * (1 / S + 2 * (1 - alpha) * gap),
            2 * sigma**4 * s2 * gap * (1 / S + (1 - alpha) * gap),
        ]
    )


def sim(m: Tensor | float, ln_s: Tensor | float, mu: float, v: float, sigma: float) -> Tensor:
    """With the squared distance of scores."""
    s2, S, Q = variances(ln_s, v, sigma)
    return torch.stack([2 * (m - mu) / (Q * S), 4 * s2 * (1 / Q - 1 / S) / S])


def matching(m: Tensor | float, ln_s: Tensor | float, mu: float, v: float, sigma: float) -> Tensor:
    """Diff-Instruct, VSD, and DMD without its normaliser."""
    s2, S, Q = variances(ln_s, v, sigma)
    return torch.stack([sigma**2 * (m - mu) / Q, sigma**2 * s2 * (1 / Q - 1 / S)])

"""The loss functions, each under its paper and equation. Pure: tensors in, one number per sample out.

Notation: x is the generator's image, `teacher` and `critic` are their x0 predictions at the same x_t, u = critic -
teacher; x_t = a x + sigma eps. Sums run over all elements of a sample. Gradients flow through every argument that
carries one: SiD and SIM differentiate both frozen networks by their input. A stray `no_grad` around either turns
SiD into the DMD direction for every alpha.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sid.noise import over, wide

FLOOR = 1e-5  # of the normaliser, as published (SiD, section 4.2)


def per_sample(x: Tensor) -> Tensor:
    """The sum over all elements of each sample."""
    return wide(x).flatten(1).sum(1)


def normaliser(x: Tensor, teacher: Tensor, floor: float = FLOOR) -> Tensor:
    """w = 1 / max(mean |x - teacher|, floor), without a gradient (SiD, arXiv 2404.04057, eq. 25; DMD, eq. 8)."""
    with torch.no_grad():
        return 1 / (wide(x) - wide(teacher)).abs().flatten(1).mean(1).clamp_min(floor)


def sid(x: Tensor, teacher: Tensor, critic: Tensor, alpha: float, critic_at_k3: Tensor | None = None) -> Tensor:
    """Score identity distillation (SiD, arXiv 2404.04057, eq. 23), before its weight:

        (teacher - critic) . [(teacher - x) - alpha (teacher - critic)]
      = (teacher - critic) . (critic - x) + (1 - alpha) |teacher - critic|^2

    With an exact critic alpha = 1/2 gives the gradient of half the Fisher divergence, alpha = 1 only the part in
    which the law of x_t is held fixed. The value may be negative and says nothing of convergence. `critic_at_k3` is the
    critic under another guidance scale (kappa3 of SiD-LSG, arXiv 2406.01561) in the difference to x, if given.
    """
    difference = wide(teacher) - wide(critic)
    beside_x = wide(critic if critic_at_k3 is None else critic_at_k3)
    return per_sample(difference * (beside_x - wide(x)) + (1 - alpha) * difference**2)


def sim(
    x: Tensor,
    teacher: Tensor,
    critic: Tensor,
    scale: Tensor,
    distance: str = "pseudo-huber",
    c: float = 0.0,
    power: float = 2.0,
    detach_denominator: bool = False,
) -> Tensor:
    """Score implicit matching (SIM, arXiv 2410.16794), before its time weight: -d'(y) . (s_critic - s_conditional).

    y = scale * u, and s_critic - s_conditional = scale * (critic - x). `scale` [B] is a/sigma^2 in score space and 1
    in x0 space. d'(y) is a function of x_t, so its denominator is differentiated; detaching it is a different, biased
    estimator, offered as an ablation.

        squared       d = |y|^2                    d' = 2 y
        power         d = |y|^p                    d' = p |y|^(p-2) y
        pseudo-huber  d = sqrt(|y|^2 + c^2) - c    d' = y / sqrt(|y|^2 + c^2)
        huber         quadratic up to |y| = c      d' = y min(1, c / |y|)
    """
    scale = wide(scale)
    u = wide(critic) - wide(teacher)
    inner = scale**2 * per_sample(u * (wide(critic) - wide(x)))
    if distance == "squared":
        return -2 * inner
    squared = scale**2 * per_sample(u**2)
    if detach_denominator:
        squared = squared.detach()
    # At y = 0 (critic = teacher) every form but the squared one divides by |y|: floored, the limit is 0.
    tiny = torch.finfo(squared.dtype).tiny
    if distance == "power":
        return -power * squared.clamp_min(tiny) ** (power / 2 - 1) * inner
    if distance == "pseudo-huber":
        return -inner * (squared + c**2).clamp_min(tiny).rsqrt()
    if distance == "huber":
        return -inner * (c * squared.clamp_min(tiny).rsqrt()).clamp_max(1.0)
    raise ValueError(f"unknown distance '{distance}': {', '.join(DISTANCES)}")


DISTANCES = ("squared", "power", "pseudo-huber", "huber")


def matching(x: Tensor, teacher: Tensor, critic: Tensor) -> Tensor:
    """Distribution matching without a network Jacobian: the gradient by x is (critic - teacher).

    Weight 1 is Diff-Instruct (arXiv 2305.18455), the normaliser is DMD (arXiv 2311.18828, eq. 7-8), a/sigma is VSD
    (arXiv 2305.16213, eq. 9). Its expectation is the gradient of the integral KL divergence.
    """
    direction = (wide(critic) - wide(teacher)).detach()
    return per_sample(direction * wide(x))


def denoising(x: Tensor, prediction: Tensor) -> Tensor:
    """The squared x0 error; the process's critic weight turns it into the EDM, eps or flow loss."""
    return per_sample((wide(prediction) - wide(x)) ** 2)


def share_of_target(prediction: Tensor, target: Tensor, share: float, part: float) -> Tensor:
    """share |prediction - (part / share) target|^2; its limit at share 0 is -2 part prediction . target.

    RealUID's critic (arXiv 2509.22459) regresses generated images with (alpha, beta), real ones with the rests to 1.
    """
    if share == 0:
        return -2 * part * per_sample(wide(prediction) * wide(target))
    return share * per_sample((wide(prediction) - part / share * wide(target)) ** 2)


def inverse_distillation(target: Tensor, teacher: Tensor, critic: Tensor, alpha: float, beta: float) -> Tensor:
    """RealUID (arXiv 2509.22459): alpha (|teacher - k target|^2 - |critic - k target|^2) with k = beta / alpha.

    At alpha = beta = 1 it is twice SiD at alpha = 1/2. Written as a product, which keeps a small distance's digits.
    """
    scaled = beta / alpha * wide(target)
    gap = wide(teacher) - wide(critic)
    return alpha * per_sample(gap * (wide(teacher) + wide(critic) - 2 * scaled))


def logistic_real(logit: Tensor) -> Tensor:
    """-log D = softplus(-logit), the mean over a sample's logits: a real image's loss, or a generator's."""
    return softplus(-wide(logit)).flatten(1).mean(1)


def logistic_fake(logit: Tensor) -> Tensor:
    """-log(1 - D) = softplus(logit), the mean over a sample's logits."""
    return softplus(wide(logit)).flatten(1).mean(1)


def time_weight(kind: str, x: Tensor, teacher: Tensor, a: Tensor, sigma: Tensor, floor: float = FLOOR) -> Tensor:
    """The time weights w(t) [B]: SIM's 1, sigma^4/a^2 and sigma^2/a; the normaliser of SiD; and SiD-DiT's.

    SiD-DiT (arXiv 2509.25127) has on flow teachers, where a = 1 - sigma: a (its default), a^2, 1/sigma, 1/sigma^2.
    """
    a, sigma = wide(a), wide(sigma)
    if kind == "one":
        return torch.ones_like(sigma)
    if kind == "sigma4/a2":
        return sigma**4 / a**2
    if kind == "sigma2/a":
        return sigma**2 / a
    if kind == "normaliser":
        return normaliser(x, teacher, floor)
    if kind in ("a", "a2"):
        return a if kind == "a" else a**2
    if kind in ("1/sigma", "1/sigma2"):
        return 1 / sigma if kind == "1/sigma" else sigma**-2
    raise ValueError(f"unknown time weight '{kind}': {', '.join(TIME_WEIGHTS)}")


TIME_WEIGHTS = ("one", "sigma4/a2", "sigma2/a", "normaliser", "a", "a2", "1/sigma", "1/sigma2")


def weighted(weight: Tensor, term: Tensor) -> Tensor:
    """A per-sample weight on a per-sample term, in the term's precision."""
    return over(weight, term) * term

"""f-distill, Uni-Instruct and RealUID, from their papers: what they change in DMD2, SiDA and SiD."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tests.updates.loop import ChainRule, Turn
from tests.updates.others import headed, logit
from tests.updates.processes import total, wide
from tests.updates.score_identity import Gan, Identity, entropy

Ratio = Callable[[Tensor], Tensor]  # h(r) of the density ratio


def f_distill_generator(w: Turn, chain: ChainRule, kappa: float, weight: float, h: Ratio) -> Tensor:
    """DMD2's direction times h(r), of mean 1 over the round; r = D / (1 - D) by the head at the same x_t."""
    x = w.image(chain)
    w.shared["x"] = x.detach()
    t = w.world.process.indexed(w.u(), 20, 980, True)
    x_t = w.noised(x.detach(), t, w.noise("eps"))
    with torch.no_grad():
        phi = w.f("teacher", x_t, t, w.condition, kappa)
        psi, features = w.see("critic", x_t, t, w.condition, features=True)
        chance = 1 / (1 + torch.exp(-headed(w, features)))
        each = h(chance / (1 - chance))
        each = each / (each.sum() / len(each))
        g = wide(each / (x - phi).abs().flatten(1).mean(1)) * (psi - phi)
    loss = (g * x).flatten(1).mean(1).sum() / w.size
    return loss + weight * softplus(-logit(w, x, "fake", True, w.condition)).sum() / w.size


def uni_instruct(w: Turn, s: Identity, gan: Gan, h: Ratio, detach: bool) -> Tensor:
    """SiDA's generator, its score term times h(r) from the images on at which the GAN term joins."""
    joined = w.images >= gan.joined_from
    x, t = w.image(s.chain), w.world.process.generator_times(w.u())
    x_t = w.noised(x, t, w.noise("eps"))
    phi = w.f("teacher", x_t, t, w.condition)
    psi, features = w.see("critic", x_t, t, w.condition, features=joined)
    norm = 1 / (x - phi).detach().abs().flatten(1).mean(1).clamp_min(1e-5)
    score = s.scale * norm * total((phi - psi) * ((phi - x) - s.alpha * (phi - psi)))
    if not joined:
        return score.sum() / w.size
    each = h(torch.exp(features.mean(1).flatten(1).mean(1)))
    score = (each.detach() if detach else each) * score
    gained = norm.sum() * entropy(features, gan, real=True, clamped=True).mean()
    return (score.sum() / 2 + gan.generator_weight * x[0].numel() * gained / 2) / w.size


def flow(image: Tensor, x_t: Tensor, a: Tensor, sigma: Tensor) -> Tensor:
    """eps - x with eps from x_t = a x + sigma eps."""
    return (x_t - wide(a) * image) / wide(sigma) - image


def real_generator(w: Turn, alpha: float, beta: float, as_flow: bool) -> Tensor:
    """alpha (|f* - (beta / alpha) f_x|^2 - |f - (beta / alpha) f_x|^2); as images with SiD's weight and half of 100."""
    x, t = w.image(), w.world.process.generator_times(w.u())
    a, sigma = w.world.process.levels(t)
    x_t = w.noised(x, t, w.noise("eps"))
    phi, psi = (w.f(name, x_t, t, w.condition) for name in ("teacher", "critic"))
    norm = 1 / (x - phi).detach().abs().flatten(1).mean(1).clamp_min(1e-5)
    target = x
    if as_flow:
        target, phi, psi = (flow(image, x_t, a, sigma) for image in (x, phi, psi))
    gap = total((phi - beta / alpha * target) ** 2) - total((psi - beta / alpha * target) ** 2)
    return (alpha * gap if as_flow else 50 * alpha * norm * gap).sum() / w.size


def real_critic(w: Turn, alpha: float, beta: float, as_flow: bool) -> Tensor:
    """alpha |f - (beta / alpha) f_x|^2 on generated images, the rests to 1 on equally noised real ones."""
    process, labelled = w.world.process, w.real_condition.labels is not None
    given = w.real_condition if labelled else w.condition
    with torch.no_grad():
        x = w.image(given=given)
    t, eps = process.critic_times(w.u()), w.noise("eps")
    a, sigma = process.levels(t)
    loss = torch.zeros(())
    for image, seen, share, part in ((x, given, alpha, beta), (w.real, w.real_condition, 1 - alpha, 1 - beta)):
        x_t = w.noised(image, t, eps)
        psi, target = w.f("critic", x_t, t, seen), image
        weight = torch.ones_like(sigma) if as_flow else process.weight(t)  # VP's t are whole numbers
        if as_flow:
            psi, target = flow(psi, x_t, a, sigma), flow(image, x_t, a, sigma)
        loss = loss + (weight * share * total((psi - part / share * target) ** 2)).sum()
    return loss / w.size

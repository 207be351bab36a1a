"""SiD, SiDA, SiD-LSG and few-step SiD, from their papers: both players' losses over one round.

phi and psi are the teacher's and the critic's x0, D a sample's elements. Every loss is a sum over the round's samples
over the size of the whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

from sid.augment import augment
from sid.condition import Condition
from tests.updates.loop import ONE_STEP, ChainRule, Turn, dropped
from tests.updates.processes import total


@dataclass(frozen=True)
class Gan:
    """The Diffusion-GAN term. SiDA: cross-entropies are means over the round; few-step SiD: per sample and times D."""

    generator_weight: float
    per_sample: bool
    joined_from: int  # images
    spatial: bool = False  # a logit per channel; else a logit per place


@dataclass(frozen=True)
class Identity:
    alpha: float
    scale: float  # of the generator's loss
    chain: ChainRule = ONE_STEP
    k1: float = 1.0  # of the critic in its own loss
    k2: float = 1.0  # of the critic in the generator's loss
    k4: float = 1.0  # of the teacher
    prompt_dropout: float = 0.0  # of a guided critic's turn
    augment: float = 0.0
    gan: Gan | None = None
    weight: str = "mean"  # 1 / mean |x - phi|; a: 1 - sigma, the weight of SiD-DiT on flow
    every_time: bool = False  # the critic learns at the teacher's own times


def entropy(features: Tensor, gan: Gan, real: bool, clamped: bool) -> Tensor:
    """The cross-entropy per sample of the logits pooled from features."""
    logit = features.mean((2, 3)) if gan.spatial else features.mean(1)
    logit = logit.clamp(-10, 10) if clamped else logit
    return softplus(-logit if real else logit).flatten(1).mean(1)


def generator(w: Turn, s: Identity) -> Tensor:
    """SiD eq. 23 and 25: w (phi - psi) . [(phi - x) - alpha (phi - psi)], half of it beside half of the GAN term."""
    joined = s.gan is not None and w.images >= s.gan.joined_from
    x = w.image(s.chain)
    t = w.world.process.generator_times(w.u())
    x_t = w.noised(x, t, w.noise("eps"))
    phi = w.f("teacher", x_t, t, w.condition, s.k4)
    psi, features = w.see("critic", x_t, t, w.condition, s.k2, joined)
    norm = 1 / (x - phi).detach().abs().flatten(1).mean(1).clamp_min(1e-5)
    norm = w.world.process.levels(t)[0] if s.weight == "a" else norm
    score = s.scale * (norm * total((phi - psi) * ((phi - x) - s.alpha * (phi - psi)))).sum()
    if not joined:
        return score / w.size
    assert s.gan is not None
    each = entropy(features, s.gan, real=True, clamped=True)
    gained = (norm * each).sum() if s.gan.per_sample else norm.sum() * each.mean()
    return (score / 2 + s.gan.generator_weight * x[0].numel() * gained / 2) / w.size


def changed(w: Turn, image: Tensor, given: Condition, share: float, stream: str) -> tuple[Tensor, Condition]:
    """Under the non-leaking augmentation, whose labels the critic sees."""
    if not share:
        return image, given
    moved, labels = augment(image, w.draws, share, stream)
    return moved, replace(given, augment=labels.double())


def critic(w: Turn, s: Identity) -> Tensor:
    """Denoising score matching on the generator's images, and the discriminator's cross-entropies where there are any.

    SiDA's fakes carry the real images' labels; prompts are dropped before the generator sees them.
    """
    process, given = w.world.process, w.condition
    if s.gan is not None and w.real_condition.labels is not None:
        given = w.real_condition
    if s.prompt_dropout:
        given = dropped(given, w.u("drop") < s.prompt_dropout)
    with torch.no_grad():
        x = w.image(s.chain, given)
        x, given = changed(w, x, given, s.augment, "augment-fake")
        real, real_given = changed(w, w.real, w.real_condition, s.augment, "augment-real")
    t = process.every_time(w.u()) if s.every_time else process.critic_times(w.u())
    eps = w.noise("eps")
    psi, features = w.see("critic", w.noised(x, t, eps), t, given, s.k1, s.gan is not None)
    loss = process.residual(x, eps, t, psi).sum()
    if s.gan is None:
        return loss / w.size
    fake = entropy(features, s.gan, real=False, clamped=s.gan.per_sample)
    seen = w.features("critic", w.noised(real, t, eps), t, real_given)
    true = entropy(seen, s.gan, real=True, clamped=s.gan.per_sample)
    if s.gan.per_sample:
        return (loss + x[0].numel() * (fake + true).sum() / 2) / w.size
    return (loss + process.weight(t).sum() * (fake.mean() + true.mean()) / 2) / w.size

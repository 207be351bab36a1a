"""The Diffusion-GAN term, a part that composes with any score objective (SiDA, arXiv 2410.14919; few-step SiD).

The discriminator is the critic's own encoder: its features are pooled into logits, with no new parameters. Real and
fake are noised with the same time and the same noise.

Where two samples share a mean (SiDA), one whose cross-entropy or weight is NaN has no part in it and no term of its
own; the mean's denominator stays, as the loop's does. The published code takes the mean of all, and loses the
micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sid.method import Batch, Progress, Terms

if TYPE_CHECKING:
    from torch import Tensor

POOLINGS = ("channels", "spatial")


@dataclass(frozen=True)
class Adversarial:
    """Weights and warm-up of the term. Defaults are SiDA's on EDM teachers."""

    critic_weight: float = 1.0
    generator_weight: float = 0.01
    pooling: str = "channels"  # channels (U-Nets: a logit map) | spatial (transformers: a logit per channel)
    per_sample: bool = False  # False: the cross-entropies are means over the micro-batch, as SiDA published them
    by_elements: bool = False  # the critic's term times a sample's elements (few-step SiD); else its weight in time
    generator_from: int = 100_000  # images before which only the critic trains
    term_from: int = 200_000  # images before which the generator trains without the term
    clamp: float = 10.0  # of the generator's logits, and of the critic's where its term goes by elements

    def faults(self, teacher_features: bool, real: bool) -> list[str]:
        """What is missing for a GAN term."""
        faults = []
        if not teacher_features:
            faults.append("the adversarial term needs a teacher whose network offers encoder features")
        if not real:
            faults.append("the adversarial term needs real images")
        if self.pooling not in POOLINGS:
            faults.append(f"pooling must be one of {', '.join(POOLINGS)} (got '{self.pooling}')")
        if self.generator_from > self.term_from:
            faults.append("generator_from must not come after term_from")
        return faults

    def generator_plays(self, progress: Progress) -> bool:
        return progress.images >= self.generator_from

    def joined(self, progress: Progress) -> bool:
        """Whether the generator's loss has the term yet."""
        return progress.images >= self.term_from


def logits(features: Tensor, pooling: str) -> Tensor:
    """Features [B, C, H, W] (or tokens [B, N, C]) as logits: a map over space, or one per channel."""
    if pooling == "channels":
        return features.mean(1, keepdim=True)
    return features.mean((2, 3)) if features.ndim == 4 else features.mean(1)


def critic_term(real: Tensor, fake: Tensor, weight: Tensor, numel: int, adversarial: Adversarial) -> Tensor:
    """w (BCE(real, 1) + BCE(fake, 0)) / 2 for each sample.

    w is the denoising loss's weight at its time (SiDA), or D on clamped logits (few-step SiD), where the denoising loss
    is a sum of D elements too.
    """
    from sid import losses

    if adversarial.by_elements:
        real, fake = (logit.clamp(-adversarial.clamp, adversarial.clamp) for logit in (real, fake))
        weight = weight.new_full(weight.shape, numel)
    cross_entropy = (losses.logistic_real(real) + losses.logistic_fake(fake)) / 2
    return _weighted(cross_entropy, adversarial.critic_weight * weight.to(cross_entropy), adversarial)


def generator_term(fake: Tensor, weight: Tensor, numel: int, adversarial: Adversarial) -> Tensor:
    """D * BCE(clamp(fake), 1) * w for each sample: the scale at which the score term sums its D elements."""
    from sid import losses

    cross_entropy = losses.logistic_real(fake.clamp(-adversarial.clamp, adversarial.clamp))
    return _weighted(cross_entropy, numel * weight.to(cross_entropy), adversarial)


def _weighted(cross_entropy: Tensor, weight: Tensor, adversarial: Adversarial) -> Tensor:
    """Each sample's weight times its own cross-entropy or the micro-batch's mean."""
    import torch

    if adversarial.per_sample:
        return weight * cross_entropy
    missing = torch.isnan(cross_entropy) | torch.isnan(weight)
    mean = torch.where(missing, 0.0, cross_entropy).sum() / len(cross_entropy)
    return torch.where(missing, torch.nan, torch.where(missing, 0.0, weight) * mean)


def with_real(nets: Mapping[str, Any], batch: Batch, at: Any, fake: Tensor, terms: Terms, part: Adversarial) -> Terms:
    """The critic's terms with the discriminator's: an encoder-only pass on the equally noised real images."""
    process = nets["teacher"].process
    assert batch.real is not None, "the method declares that it needs real images"
    real_t = process.add_noise(batch.real, at.eps, at.t).to(batch.real.dtype)
    real = nets["critic"](real_t, at.t, batch.real_condition, frozenset({"features"})).features
    weight, numel = process.critic_weight(at.t), batch.real[0].numel()
    term = critic_term(logits(real, part.pooling), logits(fake, part.pooling), weight, numel, part)
    return Terms({**terms.terms, "discriminator": term}, terms.weights, terms.health)

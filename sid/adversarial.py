"""The Diffusion-GAN term, a part that composes with any score objective (SiDA, arXiv 2410.14919; few-step SiD).

The discriminator is the critic's own encoder: its features are pooled into logits, with no new parameters. Real and
fake are noised with the same time and the same noise.
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
    generator_from: int = 100_000  # images before which only the critic trains
    term_from: int = 200_000  # images before which the generator trains without the term
    clamp: float = 10.0  # of the generator's logits

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


def critic_term(real: Tensor, fake: Tensor, weight: Tensor, adversarial: Adversarial) -> Tensor:
    """lambda (BCE(real, 1) + BCE(fake, 0)) / 2 for each sample."""
    from sid import losses

    cross_entropy = (losses.logistic_real(real) + losses.logistic_fake(fake)) / 2
    if not adversarial.per_sample:
        cross_entropy = cross_entropy.mean()
    return adversarial.critic_weight * weight.to(cross_entropy) * cross_entropy


def generator_term(fake: Tensor, weight: Tensor, numel: int, adversarial: Adversarial) -> Tensor:
    """D * BCE(clamp(fake), 1) * w for each sample: the scale at which the score term sums its D elements."""
    from sid import losses

    cross_entropy = losses.logistic_real(fake.clamp(-adversarial.clamp, adversarial.clamp))
    if not adversarial.per_sample:
        cross_entropy = cross_entropy.mean()
    return numel * weight.to(cross_entropy) * cross_entropy


def with_real(nets: Mapping[str, Any], batch: Batch, at: Any, fake: Tensor, terms: Terms, part: Adversarial) -> Terms:
    """The critic's terms with the discriminator's: an encoder-only pass on the equally noised real images."""
    process = nets["teacher"].process
    assert batch.real is not None, "the method declares that it needs real images"
    real_t = process.add_noise(batch.real, at.eps, at.t).to(batch.real.dtype)
    real = nets["critic"](real_t, at.t, batch.real_condition, frozenset({"features"})).features
    term = critic_term(logits(real, part.pooling), logits(fake, part.pooling), process.critic_weight(at.t), part)
    return Terms({**terms.terms, "discriminator": term}, terms.weights, terms.health)

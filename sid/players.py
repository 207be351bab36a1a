"""Parts that methods share: the generator's image, its noised copy, and the critic's player and loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sid import losses
from sid.adversarial import Adversarial, with_real
from sid.denoiser import FEATURES, X0
from sid.draws import sent
from sid.guidance import guided
from sid.method import Batch, Optimiser, Player, Terms

if TYPE_CHECKING:
    from sid.condition import Condition
    from sid.laws import TimeLaw


Nets = Mapping[str, Any]


def generate(nets: Nets, batch: Batch, steps: int | None = None) -> Tensor:
    """The generator's image for this micro-batch, from noise of the player's own stream."""
    generator = nets["generator"]
    noises = [batch.noise(f"z{step}") for step in range(generator_noises(generator, steps))]
    return generator(noises, batch.condition, steps)


def generator_noises(generator: Any, steps: int | None) -> int:
    """How many noise tensors `steps` steps read; an engine may have wrapped the generator."""
    return getattr(generator, "module", generator).noises_needed(steps)


@dataclass(frozen=True)
class Noised:
    """A noised image, the input of teacher and critic."""

    x_t: Tensor
    t: Tensor
    eps: Tensor
    a: Tensor
    sigma: Tensor


def noised(nets: Nets, batch: Batch, x: Tensor, law: TimeLaw, stream: str = "") -> Noised:
    """x_t = a x + sigma eps at a time drawn from `law`."""
    process = nets["teacher"].process
    t = batch.draws.time(f"t{stream}", law, x)
    eps = batch.noise(f"eps{stream}")
    a, sigma = process.coefficients(t)
    return Noised(process.add_noise(x, eps, t).to(x.dtype), t, eps, a, sigma)


def denoising_loss(
    nets: Nets, batch: Batch, x: Tensor, kappa: float = 1.0, adversarial: Adversarial | None = None, law: Any = None
) -> Terms:
    """The critic's denoising score matching on detached images: EDM's lambda-weighted, eps- or flow-MSE.

    Args:
        nets: The networks by name: the critic is trained, the teacher's process noises.
        batch: The player's micro-batch.
        x: The generator's images, without a gradient.
        kappa: Guidance scale. Other than 0 and 1 the gradient runs through both branches (SiD-LSG, section 4).
        adversarial: Adds its terms; the same pass gives the logits of the generated images.
        law: The law of t; None: the process's critic law.
    """
    process = nets["teacher"].process
    at = noised(nets, batch, x, law or process.critic_law())
    want = X0 if adversarial is None else X0 | FEATURES
    prediction = guided(nets["critic"], at.x_t, at.t, batch.condition, kappa, want)
    term = losses.weighted(process.critic_weight(at.t), losses.denoising(x, prediction.image))
    terms = Terms({"critic": term}, health={"noise": process.log_noise_level(at.t).detach()})
    if adversarial is None:
        return terms
    assert prediction.features is not None
    return with_real(nets, batch, at, prediction.features, terms, adversarial)


def critic_player(
    optimiser: Optimiser,
    kappa: float = 1.0,
    dropout: float = 0.0,
    adversarial: Adversarial | None = None,
    mixture: bool = True,
    augment: float = 0.0,
    every_time: bool = False,
) -> Player:
    """The player that trains the critic: one denoising step on fresh images of the generator.

    Args:
        optimiser: The critic's Adam.
        kappa: Guidance scale of the critic in its own loss.
        dropout: Share of conditions replaced by the null one. The dropped condition drives generator and critic.
        adversarial: Adds the discriminator's terms (SiDA).
        mixture: Draws the chain's step for each iteration; else every image is that of the whole chain.
        augment: Probability of each non-leaking augmentation of the critic's images (EDM teachers).
        every_time: Trains on the teacher's own law of t, which leaves out neither end of a VP schedule.
    """

    def loss(nets: Nets, batch: Batch) -> Terms:
        if adversarial is not None and batch.real_condition is not None and batch.real_condition.labels is not None:
            batch.condition = batch.real_condition  # fake images carry the real ones' labels (SiDA)
        if dropout > 0:
            batch.condition = batch.condition.drop(sent(batch.draws.uniform("drop") < dropout, batch.like.device))
        with torch.no_grad():
            x = generate(nets, batch, chain_step(nets, batch) if mixture else None)
            x, batch.condition = augmented(batch, x, batch.condition, augment, "augment-fake")
            if adversarial is not None and batch.real is not None and batch.real_condition is not None:
                batch.real, batch.real_condition = augmented(
                    batch, batch.real, batch.real_condition, augment, "augment-real"
                )
        law = nets["teacher"].process.training_law() if every_time else None
        return denoising_loss(nets, batch, x, kappa, adversarial, law)

    return Player("critic", ("critic",), loss, optimiser, train_mode=("critic",))


def augmented(batch: Batch, x: Tensor, condition: Condition, p: float, stream: str) -> tuple[Tensor, Condition]:
    """Images under the non-leaking augmentation, and the condition with its labels."""
    if p == 0:
        return x, condition
    from sid.augment import augment

    changed, labels = augment(x, batch.draws, p, stream)
    return changed, replace(condition, augment=labels.to(x.dtype))


def chain_step(nets: Nets, batch: Batch) -> int:
    """k of {1, ..., K}, one per iteration: the uniform mixture over the chain's steps (arXiv 2505.12674)."""
    generator: Any = getattr(nets["generator"], "module", nets["generator"])
    return batch.draws.integer("step", 1, generator.chain.steps)


def health(x: Tensor, teacher: Tensor, critic: Tensor) -> dict[str, Tensor]:
    """mean |teacher - critic| and mean |x - teacher|: a score distillation loss itself shows no progress."""
    with torch.no_grad():
        return {
            "teacher-critic": (teacher - critic).abs().flatten(1).mean(1),
            "x-teacher": (x - teacher).abs().flatten(1).mean(1),
        }


def same_dropout(batch: Batch, teacher: Any, critic: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
    """Both networks' x0 without a gradient and under one dropout mask (Diff-Instruct runs both in train mode).

    The generator of the masks is put back after the teacher's pass, so that the critic draws the same ones.
    """
    device = batch.like.device
    devices = [device] if device.type == "cuda" else []
    with torch.no_grad():
        with torch.random.fork_rng(devices):
            teacher_x0 = teacher(*inputs).image
        critic_x0 = critic(*inputs).image
    return teacher_x0, critic_x0

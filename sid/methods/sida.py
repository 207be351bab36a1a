"""SiDA: SiD with a Diffusion-GAN term on the critic's own encoder: Zhou et al., ICLR 2025, arXiv 2410.14919."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sid.adversarial import Adversarial
from sid.chain import Chain
from sid.method import (
    Copy,
    Method,
    Net,
    Optimiser,
    Player,
    Student,
    TeacherFacts,
    augment_faults,
    dropout_faults,
    newer,
    positive,
)
from sid.passes import Turns
from sid.score_identity import ScoreIdentity


@dataclass(frozen=True)
class SidaSettings:
    alpha: float = 1.0
    t_init: float | None = None
    t_max: float = 800.0
    critic_weight: float = 1.0  # of the discriminator's term
    generator_weight: float = 0.01  # of the generator's adversarial term
    per_sample: bool = False  # False as published
    generator_from: int = 100_000  # images
    adversarial_from: int = 200_000
    clip_value: float | None = 1.0  # of the critic's gradients
    lr: float = 1e-5
    lr_generator: float = 1e-5
    loss_scale: float = 100.0
    augment: float = 0.0  # non-leaking augmentation of the critic's images, for networks that take its labels
    eps: float = 1e-8
    dropout: float | None = newer(None, before=None)  # of generator and critic; None: the teacher's own


class Sida(Method):
    name = "sida"
    version = 1
    paper = "Zhou et al., Adversarial Score identity Distillation, arXiv 2410.14919"
    verified = "update"
    covers = "EDM, VP, flow"
    needs = frozenset({"real"})
    split_matters = "its cross-entropies are means over the micro-batch, multiplied by per-sample weights"
    Options = SidaSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"augment": 0.12, "dropout": 0.13},
        "imagenet64": {"lr": 4e-6, "lr_generator": 4e-6, "dropout": 0.1},
        "ffhq64": {"augment": 0.15, "dropout": 0.05},
        "afhqv2-64": {"lr": 5e-6, "lr_generator": 5e-6, "augment": 0.15, "dropout": 0.05},
        "digits": {"lr": 2e-3, "lr_generator": 2e-3, "generator_from": 2_000, "adversarial_from": 20_000},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "generator_from": 1_000, "adversarial_from": 2_000},
    }

    def faults(self, options: SidaSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale")
        faults += Chain(t_init=options.t_init).faults(teacher.process)
        faults += augment_faults(options.augment, teacher) + dropout_faults(options.dropout)
        return faults + _adversarial(options).faults(teacher.features, teacher.real)

    def build(self, options: SidaSettings) -> dict[str, Net]:
        return {
            "critic": Copy(dropout=options.dropout),
            "generator": Student(Chain(t_init=options.t_init), options.dropout),
        }

    def passes(self, options: SidaSettings) -> Turns:
        return self.objective(options).passes()

    def players(self, options: SidaSettings) -> tuple[Player, ...]:
        critic = Optimiser(options.lr, eps=options.eps, clip_value=options.clip_value)
        return self.objective(options).players(critic, Optimiser(options.lr_generator, eps=options.eps))

    def objective(self, options: SidaSettings) -> ScoreIdentity:
        """Both players' losses; Uni-Instruct adds a weight to the generator's."""
        return ScoreIdentity(
            options.alpha,
            adversarial=_adversarial(options),
            t_max=options.t_max,
            loss_scale=options.loss_scale,
            augment=options.augment,
        )


def _adversarial(options: SidaSettings) -> Adversarial:
    return Adversarial(
        options.critic_weight,
        options.generator_weight,
        per_sample=options.per_sample,
        generator_from=options.generator_from,
        term_from=options.adversarial_from,
    )

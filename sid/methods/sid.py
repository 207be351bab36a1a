"""Score identity Distillation: Zhou et al., ICML 2024, arXiv 2404.04057."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

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
class SidSettings:
    alpha: float = 1.2  # 1.2 is the paper's default, 1.0 its alternative (and AFHQ's setting)
    t_init: float | None = None  # None: sigma 2.5 (EDM) or timestep 625 (VP), the same noise level
    t_max: float = 800.0  # of 1000, EDM teachers only
    lr: float = 1e-5  # the critic's
    lr_generator: float = 1e-5
    beta1_generator: float = 0.0
    loss_scale: float = 100.0  # matters through Adam's eps and fp16 range only
    augment: float = 0.0  # non-leaking augmentation of the critic's images, for networks that take its labels
    eps: float = 1e-8
    dropout: float | None = newer(None, before=None)  # of generator and critic; None: the teacher's own
    detach: bool = newer(False, before=False)  # both scores: the direction of distribution matching, an ablation


class Sid(Method):
    name = "sid"
    version = 1
    paper = "Zhou et al., Score identity Distillation, arXiv 2404.04057"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = SidSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"augment": 0.12, "dropout": 0.13},
        "imagenet64": {"lr": 4e-6, "lr_generator": 4e-6, "dropout": 0.1},
        "ffhq64": {"beta1_generator": 0.9, "augment": 0.15, "dropout": 0.05},
        "afhqv2-64": {"alpha": 1.0, "lr": 5e-6, "lr_generator": 5e-6, "augment": 0.15, "dropout": 0.05},
        "digits": {"lr": 5e-4, "lr_generator": 5e-4},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4},
    }

    def faults(self, options: SidSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale")
        faults += Chain(t_init=options.t_init).faults(teacher.process)
        return faults + augment_faults(options.augment, teacher) + dropout_faults(options.dropout)

    def build(self, options: SidSettings) -> dict[str, Net]:
        return {
            "critic": Copy(dropout=options.dropout),
            "generator": Student(Chain(t_init=options.t_init), options.dropout),
        }

    def passes(self, options: SidSettings) -> Turns:
        return _objective(options).passes()

    def players(self, options: SidSettings) -> tuple[Player, ...]:
        adam = Optimiser(options.lr_generator, betas=(options.beta1_generator, 0.999), eps=options.eps)
        return _objective(options).players(Optimiser(options.lr, eps=options.eps), adam)


def _objective(options: SidSettings) -> ScoreIdentity:
    return ScoreIdentity(
        options.alpha,
        t_max=options.t_max,
        loss_scale=options.loss_scale,
        augment=options.augment,
        detached=options.detach,
    )

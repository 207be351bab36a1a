"""Diff-Instruct: Luo et al., NeurIPS 2023, arXiv 2305.18455. The integral KL divergence, time weight 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import (
    Batch,
    Copy,
    Method,
    Net,
    Optimiser,
    Player,
    Student,
    TeacherFacts,
    Terms,
    augment_faults,
    newer,
    positive,
)
from sid.passes import Passes, Turn, Turns, denoising, matching


@dataclass(frozen=True)
class DiffInstructSettings:
    t_init: float | None = 1.0  # sigma 1.0 is the published CIFAR-10 recipe; None: the process's own
    lr: float = 1e-5
    lr_generator: float = 1e-5
    loss_scale: float = 1.0
    augment: float = newer(0.0, before=0.0)  # of the critic's images; 0.12 on CIFAR-10 by the published code's default
    eps: float = 1e-8


class DiffInstruct(Method):
    name = "diff-instruct"
    version = 1
    paper = "Luo et al., Diff-Instruct, arXiv 2305.18455"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = DiffInstructSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"augment": 0.12},
        "digits": {"lr": 5e-4, "lr_generator": 5e-4, "t_init": None},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "t_init": None},
    }

    def faults(self, options: DiffInstructSettings, teacher: TeacherFacts) -> list[str]:
        return positive(options, "lr", "lr_generator", "loss_scale") + augment_faults(options.augment, teacher)

    def build(self, options: DiffInstructSettings) -> dict[str, Net]:
        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def passes(self, options: DiffInstructSettings) -> Turns:
        return {"critic": Turn(Passes(forward=1) + denoising()), "generator": Turn(matching())}

    def players(self, options: DiffInstructSettings) -> tuple[Player, ...]:
        from sid import losses
        from sid.players import critic_player, generate, health, noised, same_dropout

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """Sum of sg[critic - teacher] x; teacher and critic run in train mode under one dropout mask."""
            x = generate(nets, batch)
            with_noise = noised(nets, batch, x.detach(), nets["teacher"].process.critic_law())
            teacher, critic = same_dropout(
                batch, nets["teacher"], nets["critic"], with_noise.x_t, with_noise.t, batch.condition
            )
            term = losses.matching(x, teacher, critic)
            return Terms({"matching": term}, {"matching": options.loss_scale}, health(x, teacher, critic))

        # The generator's step sees the labels of the critic's step, as published.
        generator = Player(
            "generator",
            ("generator",),
            loss,
            Optimiser(options.lr_generator, eps=options.eps),
            train_mode=("generator", "teacher", "critic"),
            conditions="critic",
        )
        return (critic_player(Optimiser(options.lr, eps=options.eps), augment=options.augment), generator)

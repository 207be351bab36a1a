"""Distribution Matching Distillation: Yin et al., CVPR 2024, arXiv 2311.18828."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.method import Batch, Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive


@dataclass(frozen=True)
class Options:
    t_init: float | None = None
    t_max: float = 800.0
    lr: float = 1e-5
    lr_generator: float = 1e-5
    beta1: float = 0.0
    weight_decay: float = 0.0
    loss_scale: float = 1.0
    eps: float = 1e-8


class Dmd(Method):
    name = "dmd"
    version = 1
    paper = "Yin et al., One-step Diffusion with Distribution Matching Distillation, arXiv 2311.18828"
    Options = Options
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {},
        "digits": {"lr": 1e-3, "lr_generator": 1e-3},
    }

    def faults(self, options: Options, teacher: TeacherFacts) -> list[str]:
        return positive(options, "lr", "lr_generator", "t_max", "loss_scale")

    def build(self, options: Options) -> dict[str, Net]:
        from sid.generator import Chain

        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def players(self, options: Options) -> tuple[Player, ...]:
        import torch

        from sid import losses
        from sid.critic import critic_player, generate, health, noised

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """The distribution-matching gradient (eq. 7) over mean |x - teacher| (eq. 8): no network Jacobian."""
            x = generate(nets, batch)
            at = noised(nets, batch, x.detach(), nets["teacher"].process.generator_law(options.t_max))
            with torch.no_grad():
                teacher = nets["teacher"](at.x_t, at.t, batch.condition).image
                critic = nets["critic"](at.x_t, at.t, batch.condition).image
            term = losses.weighted(losses.normaliser(x, teacher), losses.matching(x, teacher, critic))
            return Terms({"matching": term}, {"matching": options.loss_scale}, health(x, teacher, critic))

        adam = Optimiser(options.lr_generator, (options.beta1, 0.999), options.eps, options.weight_decay)
        return (
            critic_player(Optimiser(options.lr, (options.beta1, 0.999), options.eps, options.weight_decay)),
            Player("generator", ("generator",), loss, adam, train_mode=("generator",)),
        )

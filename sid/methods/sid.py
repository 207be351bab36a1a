"""Score identity Distillation: Zhou et al., ICML 2024, arXiv 2404.04057."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.method import Batch, Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive


@dataclass(frozen=True)
class Options:
    alpha: float = 1.2  # 1.2 is the paper's default, 1.0 its alternative (and AFHQ's setting)
    t_init: float | None = None  # None: sigma 2.5 (EDM) or timestep 625 (VP), the same noise level
    t_max: float = 800.0  # of 1000, EDM teachers only
    lr: float = 1e-5  # the critic's
    lr_generator: float = 1e-5
    beta1_generator: float = 0.0
    loss_scale: float = 100.0  # matters through Adam's eps and fp16 range only
    eps: float = 1e-8


class Sid(Method):
    name = "sid"
    version = 1
    paper = "Zhou et al., Score identity Distillation, arXiv 2404.04057"
    Options = Options
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {},
        "imagenet64": {"lr": 4e-6, "lr_generator": 4e-6},
        "ffhq64": {"beta1_generator": 0.9},
        "afhqv2": {"alpha": 1.0, "lr": 5e-6, "lr_generator": 5e-6},
        "digits": {"lr": 1e-3, "lr_generator": 1e-3},
    }

    def faults(self, options: Options, teacher: TeacherFacts) -> list[str]:
        return positive(options, "lr", "lr_generator", "t_max", "loss_scale")

    def build(self, options: Options) -> dict[str, Net]:
        from sid.generator import Chain

        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def players(self, options: Options) -> tuple[Player, ...]:
        from sid.critic import critic_player

        adam = Optimiser(options.lr_generator, betas=(options.beta1_generator, 0.999), eps=options.eps)
        return (
            critic_player(Optimiser(options.lr, eps=options.eps)),
            Player("generator", ("generator",), generator_loss(options), adam, train_mode=("generator",)),
        )


def generator_loss(options: Options) -> Any:
    """The generator's loss (eq. 23 with the weight of eq. 25): same x_t and noise for teacher and critic."""
    from sid import losses
    from sid.critic import generate, health, noised

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        x = generate(nets, batch)
        at = noised(nets, batch, x, nets["teacher"].process.generator_law(options.t_max))
        teacher = nets["teacher"](at.x_t, at.t, batch.condition).image
        critic = nets["critic"](at.x_t, at.t, batch.condition).image
        term = losses.weighted(losses.normaliser(x, teacher), losses.sid(x, teacher, critic, options.alpha))
        return Terms({"sid": term}, {"sid": options.loss_scale}, health(x, teacher, critic))

    return loss

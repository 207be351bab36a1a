"""RealUID: Kornilov et al., ICLR 2026, arXiv 2509.22459. Real images in the critic's target, without a discriminator.

The critic regresses a share alpha of its loss on generated and 1 - alpha on real images, with targets times
beta / alpha and (1 - beta) / (1 - alpha); the generator's loss is

    alpha (|teacher - (beta / alpha) target|^2 - |critic - (beta / alpha) target|^2)

Target and networks are compared as flow (eps - x; published) or as images.
alpha = beta = 1 needs no data: it is twice SiD at alpha = 1/2, and on flow teachers, as flow, FGM (arXiv 2410.19310).
The published times are uniform in [0, 1]; here each process keeps its own laws, as every method beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

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
    positive,
)
from sid.passes import Passes, Turn, Turns, denoising, scores

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class RealUidSettings:
    alpha: float = (
        0.92  # share of generated images; the published commands: 0.92, 0.94 (CIFAR-10), 0.98, 0.96 (classes)
    )
    beta: float = 0.94
    space: str = "flow"  # flow | x0: what networks and targets are compared as
    weight: str = "one"  # one | normaliser: of the generator's loss
    t_init: float | None = None
    t_max: float = 800.0
    ratio: int = 5  # critic updates per generator update
    lr: float = 3e-5
    lr_generator: float = 3e-5
    warmup: int = 500  # updates
    clip_norm: float | None = 1.0
    loss_scale: float = 1.0
    eps: float = 1e-8


class RealUid(Method):
    name = "realuid"
    version = 1
    paper = "Kornilov et al., Universal Inverse Distillation with Real-Data Supervision, arXiv 2509.22459"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = RealUidSettings
    # The miniature: SiD at alpha 1/2 where alpha = beta = 1.
    SMALL: ClassVar[dict[str, Any]] = {
        "space": "x0",
        "weight": "normaliser",
        "ratio": 1,
        "warmup": 0,
        "clip_norm": None,
        "loss_scale": 50.0,
    }
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "digits": {"lr": 5e-4, "lr_generator": 5e-4, **SMALL},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, **SMALL},
    }

    def needs_of(self, options: RealUidSettings) -> frozenset[str]:
        return frozenset({"real"}) if _mixed(options) else frozenset()

    def faults(self, options: RealUidSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale", "ratio", "beta")
        faults += Chain(t_init=options.t_init).faults(teacher.process)
        if not 0 < options.alpha <= 1:
            faults.append(f"alpha must be in (0, 1] (got {options.alpha})")
        if options.warmup < 0:
            faults.append(f"warmup must not be negative (got {options.warmup})")
        for name, known in (("space", ("flow", "x0")), ("weight", ("one", "normaliser"))):
            if getattr(options, name) not in known:
                faults.append(f"{name} must be {' or '.join(known)} (got '{getattr(options, name)}')")
        if _mixed(options) and not teacher.real:
            faults.append("real images are needed unless alpha and beta are 1")
        return faults

    def build(self, options: RealUidSettings) -> dict[str, Net]:
        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def passes(self, options: RealUidSettings) -> Turns:
        networks = 2 if _mixed(options) else 1
        critic = Passes(forward=1) + denoising(networks)
        return {"critic": Turn(critic), "generator": Turn(scores(), options.ratio)}

    def players(self, options: RealUidSettings) -> tuple[Player, ...]:
        def adam(rate: float) -> Optimiser:
            return Optimiser(rate, eps=options.eps, warmup=options.warmup, clip_norm=options.clip_norm)

        critic = Player("critic", ("critic",), critic_loss(options), adam(options.lr), ("critic",))
        generator = Player(
            "generator",
            ("generator",),
            generator_loss(options),
            adam(options.lr_generator),
            ("generator",),
            lambda progress: progress.iteration % options.ratio == 0,
        )
        return (critic, generator)


def _mixed(options: RealUidSettings) -> bool:
    return (options.alpha, options.beta) != (1, 1)


def critic_loss(options: RealUidSettings) -> Any:
    """alpha |critic - (beta / alpha) target|^2 on generated, the rest on equally noised real images."""
    import torch

    from sid import losses
    from sid.players import generate, noised

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        process = nets["teacher"].process
        if _mixed(options) and batch.real_condition is not None and batch.real_condition.labels is not None:
            batch.condition = batch.real_condition  # generated images carry the real ones' labels, as published
        with torch.no_grad():
            x = generate(nets, batch)
        at = noised(nets, batch, x, process.critic_law())
        weight = torch.ones_like(at.sigma) if options.space == "flow" else process.critic_weight(at.t)
        sides = [(x, at.x_t, batch.condition, options.alpha, options.beta)]
        if _mixed(options):
            assert batch.real is not None and batch.real_condition is not None
            real_t = process.add_noise(batch.real, at.eps, at.t).to(batch.real.dtype)
            sides.append((batch.real, real_t, batch.real_condition, 1 - options.alpha, 1 - options.beta))
        terms = {}
        for name, (image, x_t, condition, share, part) in zip(("critic", "real"), sides, strict=False):
            seen = nets["critic"](x_t, at.t, condition).image
            compared, target = (_compared(options, process, x_t, part_of, at.t) for part_of in (seen, image))
            terms[name] = losses.weighted(weight, losses.share_of_target(compared, target, share, part))
        return Terms(terms, health={"noise": process.log_noise_level(at.t).detach()})

    return loss


def generator_loss(options: RealUidSettings) -> Any:
    """The linearised distance of teacher and critic, differentiated through both."""
    from sid import losses
    from sid.players import generate, health, noised

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        process, x = nets["teacher"].process, generate(nets, batch)
        at = noised(nets, batch, x, process.generator_law(options.t_max))
        teacher, critic = (nets[name](at.x_t, at.t, batch.condition).image for name in ("teacher", "critic"))
        target, *seen = (_compared(options, process, at.x_t, image, at.t) for image in (x, teacher, critic))
        term = losses.inverse_distillation(target, seen[0], seen[1], options.alpha, options.beta)
        term = losses.weighted(losses.time_weight(options.weight, x, teacher, at.a, at.sigma), term)
        return Terms({"realuid": term}, {"realuid": options.loss_scale}, health(x, teacher, critic))

    return loss


def _compared(options: RealUidSettings, process: Any, x_t: Tensor, image: Tensor, t: Tensor) -> Tensor:
    """An image at x_t as what is compared: itself, or the flow that leads to it."""
    return image if options.space == "x0" else process.flow_from_x0(x_t, image, t)

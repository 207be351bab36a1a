"""Score Implicit Matching: Luo et al., NeurIPS 2024, arXiv 2410.16794."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import Batch, Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive
from sid.passes import Passes, Turn, Turns, denoising, scores


@dataclass(frozen=True)
class SimSettings:
    """The paper's c, time weight and CIFAR-10 schedule are not confirmed: documented defaults, not claims."""

    distance: str = "pseudo-huber"  # squared | power | pseudo-huber | huber
    c: float = 0.0  # of the (pseudo-)Huber distance; not confirmed
    power: float = 2.0
    space: str = "score"  # score | x0: where the distance is measured
    weight: str = "sigma2/a"  # one | sigma4/a2 | sigma2/a | normaliser; not confirmed
    detach_denominator: bool = False  # an ablation: biased
    t_init: float | None = None
    t_max: float = 800.0
    lr: float = 1e-5
    lr_generator: float = 1e-5
    loss_scale: float = 1.0
    eps: float = 1e-8


class Sim(Method):
    name = "sim"
    version = 1
    paper = "Luo et al., One-Step Diffusion Distillation through Score Implicit Matching, arXiv 2410.16794"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = SimSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {},
        "digits": {"lr": 2e-3, "lr_generator": 2e-3, "space": "x0", "weight": "one", "c": 0.03},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "space": "x0", "weight": "one", "c": 0.03},
    }

    def faults(self, options: SimSettings, teacher: TeacherFacts) -> list[str]:
        from sid.discovery import nearest

        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale")
        for name, known in (
            ("distance", ("squared", "power", "pseudo-huber", "huber")),
            ("weight", ("one", "sigma4/a2", "sigma2/a", "normaliser")),
            ("space", ("score", "x0")),
        ):
            given = getattr(options, name)
            if given not in known:
                near = nearest(given, known)
                faults.append(f"unknown {name} '{given}'; " + (f"did you mean '{near}'?" if near else ", ".join(known)))
        if options.c < 0:
            faults.append(f"c must not be negative (got {options.c})")
        if options.distance == "huber" and options.c == 0:
            faults.append("huber needs c above 0: with c = 0 its gradient is 0 everywhere")
        if options.power < 1:
            faults.append(f"power must be at least 1 (got {options.power})")
        return faults

    def build(self, options: SimSettings) -> dict[str, Net]:
        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def passes(self, options: SimSettings) -> Turns:
        return {"critic": Turn(Passes(forward=1) + denoising()), "generator": Turn(scores())}

    def players(self, options: SimSettings) -> tuple[Player, ...]:
        from sid.players import critic_player

        adam = Optimiser(options.lr_generator, eps=options.eps)
        return (
            critic_player(Optimiser(options.lr, eps=options.eps)),
            Player("generator", ("generator",), generator_loss(options), adam, train_mode=("generator",)),
        )


def generator_loss(options: SimSettings) -> Any:
    """-w(t) d'(y) . (s_critic - s_conditional), differentiated through x, x_t and both networks' inputs."""
    from sid import losses
    from sid.players import generate, health, noised

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        x = generate(nets, batch)
        at = noised(nets, batch, x, nets["teacher"].process.generator_law(options.t_max))
        teacher = nets["teacher"](at.x_t, at.t, batch.condition).image
        critic = nets["critic"](at.x_t, at.t, batch.condition).image
        scale = at.a / at.sigma**2 if options.space == "score" else at.sigma.new_ones(at.sigma.shape)
        distance = losses.sim(
            x, teacher, critic, scale, options.distance, options.c, options.power, options.detach_denominator
        )
        term = losses.weighted(losses.time_weight(options.weight, x, teacher, at.a, at.sigma), distance)
        return Terms({"sim": term}, {"sim": options.loss_scale}, health(x, teacher, critic))

    return loss

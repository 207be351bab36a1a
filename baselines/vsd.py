"""Variational score distillation with a LoRA critic: SwiftBrush (Nguyen & Tran, CVPR 2024, arXiv 2312.05239)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import Batch, Lora, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, newer, positive
from sid.passes import Passes, Turn, Turns, branches, denoising, matching


@dataclass(frozen=True)
class VsdSettings:
    """As SwiftBrush trains, by its code (VinAIResearch/SwiftBrush, train_swiftbrush.py and the README's command)."""

    kappa: float = 4.5  # of the teacher
    weight: str = "sigma2"  # one | sigma2: w(t) on the difference of the eps predictions
    t_init: float | None = 999.0  # the student takes unit noise at the last timestep; None: the process's own
    unit_input: bool = True
    rank: int = 64
    lora_alpha: float = 108.0
    lr: float = 1e-3  # the adapters'
    lr_generator: float = 1e-6
    eps: float = 1e-8
    critic_kappa: float = newer(4.5, before=1.0)  # of the critic in the generator's turn
    critic_weight: str = newer("a2", before="one")  # one | a2: on the critic's usual loss (VP: the squared eps error)
    drop_batch: float = newer(0.1, before=0.0)  # share of the critic's turns in which the whole batch has no prompt
    layers: tuple[str, ...] = newer(("to_q", "to_v"), before=())  # that are adapted; empty: all
    shared: bool = newer(True, before=False)  # the generator plays first, and the critic learns from the same images
    mean: bool = newer(True, before=False)  # losses are means over a sample's elements, not sums; felt in clip_norm
    beta1: float = newer(0.9, before=0.0)
    clip_norm: float | None = newer(1.0, before=None)


# The miniatures: an unguided critic with adapters everywhere, and Adam as the other methods have it.
SMALL: dict[str, Any] = {
    "t_init": None,
    "unit_input": False,
    "weight": "one",
    "critic_kappa": 1.0,
    "critic_weight": "one",
    "drop_batch": 0.0,
    "layers": (),
    "shared": False,
    "mean": False,
    "beta1": 0.0,
    "clip_norm": None,
}


class Vsd(Method):
    name = "vsd"
    version = 2
    paper = "Nguyen & Tran, SwiftBrush, arXiv 2312.05239; Wang et al., ProlificDreamer, arXiv 2305.16213"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = VsdSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sd21-coco": {},
        "digits": {**SMALL, "kappa": 1.0, "lora_alpha": 64.0, "lr": 5e-4, "lr_generator": 5e-4},
        "shapes": {**SMALL, "kappa": 1.5, "rank": 16, "lora_alpha": 16.0, "lr_generator": 2e-4},
    }

    def faults(self, options: VsdSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "lora_alpha", "rank") + _chain(options).faults(teacher.process)
        for name, known in (("weight", ("one", "sigma2")), ("critic_weight", ("one", "a2"))):
            if getattr(options, name) not in known:
                faults.append(f"{name} must be {' or '.join(known)} (got '{getattr(options, name)}')")
        for name in ("kappa", "critic_kappa"):
            if getattr(options, name) != 1 and not teacher.guidance:
                value = getattr(options, name)
                faults.append(f"{name} {value} needs an unconditional branch, and {teacher.name} has none")
        if not 0 <= options.drop_batch < 1:
            faults.append(f"drop_batch must be in [0, 1) (got {options.drop_batch})")
        return faults

    def build(self, options: VsdSettings) -> dict[str, Net]:
        critic = Lora(options.rank, options.lora_alpha, options.layers)
        return {"critic": critic, "generator": Student(_chain(options))}

    def passes(self, options: VsdSettings) -> Turns:
        """The critic makes images of its own, unless it learns from the generator's."""
        guided_critic = Passes(forward=branches(options.critic_kappa) - 1)
        critic = denoising() if options.shared else Passes(forward=1) + denoising()
        return {"critic": Turn(critic), "generator": Turn(matching(options.kappa) + guided_critic)}

    def players(self, options: VsdSettings) -> tuple[Player, ...]:
        from sid.players import critic_player

        def adam(rate: float) -> Optimiser:
            return Optimiser(rate, (options.beta1, 0.999), options.eps, clip_norm=options.clip_norm)

        generator = Player(
            "generator", ("generator",), generator_loss(options), adam(options.lr_generator), train_mode=("generator",)
        )
        if not options.shared:
            return (critic_player(adam(options.lr), every_time=True), generator)
        critic = Player(
            "critic", ("critic",), critic_loss(options), adam(options.lr), ("critic",), conditions="generator"
        )
        return (generator, critic)


def generator_loss(options: VsdSettings) -> Any:
    """w(t) (eps_teacher - eps_critic) dx, which in x0 is (a / sigma) w(t) (critic - teacher) dx."""
    import torch

    from sid import losses
    from sid.guidance import guided
    from sid.players import generate, health, noised

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        x = generate(nets, batch)
        batch.shared["x"], batch.shared["condition"] = x.detach(), batch.condition
        at = noised(nets, batch, x.detach(), nets["teacher"].process.uniform_law(20, 980))
        with torch.no_grad():
            teacher = guided(nets["teacher"], at.x_t, at.t, batch.condition, options.kappa).image
            critic = guided(nets["critic"], at.x_t, at.t, batch.condition, options.critic_kappa).image
        weight = at.a / at.sigma * (at.sigma**2 if options.weight == "sigma2" else 1.0)
        term = losses.weighted(weight, losses.matching(x, teacher, critic))
        scale = 1 / x[0].numel() if options.mean else 1.0
        return Terms({"matching": term}, {"matching": scale}, health(x, teacher, critic))

    return loss


def critic_loss(options: VsdSettings) -> Any:
    """The adapters' denoising on the generator's images at every t, with or without the prompts of the whole batch."""
    from baselines.distribution_matching import shared_image
    from sid import losses
    from sid.players import denoising_loss

    def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
        x, process = shared_image(nets, batch), nets["teacher"].process
        if batch.draws.integer("drop", 0, 999_999) < 1_000_000 * options.drop_batch:
            batch.condition = batch.condition.unconditional()
        law = process.training_law()
        terms = denoising_loss(nets, batch, x, law=law)
        term = terms.terms["critic"]
        if options.critic_weight == "a2":
            a, _ = process.coefficients(batch.draws.time("t", law, x))
            term = losses.weighted(a**2, term)
        scale = 1 / x[0].numel() if options.mean else 1.0
        return Terms({"critic": term}, {"critic": scale}, terms.health)

    return loss


def _chain(options: VsdSettings) -> Chain:
    return Chain(t_init=options.t_init, unit_input=options.unit_input)

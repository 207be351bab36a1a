"""Variational score distillation with a LoRA critic: SwiftBrush (Nguyen & Tran, CVPR 2024, arXiv 2312.05239)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import Batch, Lora, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive
from sid.passes import Passes, Turn, Turns, denoising, matching


@dataclass(frozen=True)
class VsdSettings:
    """The published rates, rank and weight are recalled, not confirmed in the paper."""

    kappa: float = 4.5  # of the teacher; the critic is not guided
    weight: str = "one"  # one | sigma2: w(t) on the difference of the eps predictions; not confirmed
    t_init: float | None = 999.0  # the student takes unit noise at the last timestep; None: the process's own
    unit_input: bool = True
    rank: int = 64
    lora_alpha: float = 108.0
    lr: float = 1e-3  # the adapters'
    lr_generator: float = 1e-6
    eps: float = 1e-8


class Vsd(Method):
    name = "vsd"
    version = 2
    paper = "Nguyen & Tran, SwiftBrush, arXiv 2312.05239; Wang et al., ProlificDreamer, arXiv 2305.16213"
    Options = VsdSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sd15": {},
        "sd21-base": {},
        "digits": {
            "kappa": 1.0,
            "t_init": None,
            "unit_input": False,
            "rank": 64,
            "lora_alpha": 64.0,
            "lr": 5e-4,
            "lr_generator": 5e-4,
        },
        "shapes": {
            "kappa": 1.5,
            "t_init": None,
            "unit_input": False,
            "rank": 16,
            "lora_alpha": 16.0,
            "lr": 1e-3,
            "lr_generator": 2e-4,
        },
    }

    def faults(self, options: VsdSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "lora_alpha", "rank") + _chain(options).faults(teacher.process)
        if options.weight not in ("one", "sigma2"):
            faults.append(f"weight must be one or sigma2 (got '{options.weight}')")
        if options.kappa != 1 and not teacher.guidance:
            faults.append(f"kappa {options.kappa} needs an unconditional branch, and {teacher.name} has none")
        return faults

    def build(self, options: VsdSettings) -> dict[str, Net]:
        return {"critic": Lora(options.rank, options.lora_alpha), "generator": Student(_chain(options))}

    def passes(self, options: VsdSettings) -> Turns:
        return {"critic": Turn(Passes(forward=1) + denoising()), "generator": Turn(matching(options.kappa))}

    def players(self, options: VsdSettings) -> tuple[Player, ...]:
        import torch

        from sid import losses
        from sid.guidance import guided
        from sid.players import critic_player, generate, health, noised

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """w(t) (eps_teacher - eps_critic) dx, which in x0 is (a / sigma) w(t) (critic - teacher) dx."""
            x = generate(nets, batch)
            at = noised(nets, batch, x.detach(), nets["teacher"].process.uniform_law(20, 980))
            with torch.no_grad():
                teacher = guided(nets["teacher"], at.x_t, at.t, batch.condition, options.kappa).image
                critic = nets["critic"](at.x_t, at.t, batch.condition).image
            weight = at.a / at.sigma * (at.sigma**2 if options.weight == "sigma2" else 1.0)
            term = losses.weighted(weight, losses.matching(x, teacher, critic))
            return Terms({"matching": term}, health=health(x, teacher, critic))

        adam = Optimiser(options.lr_generator, eps=options.eps)
        return (
            critic_player(Optimiser(options.lr, eps=options.eps), every_time=True),
            Player("generator", ("generator",), loss, adam, train_mode=("generator",)),
        )


def _chain(options: VsdSettings) -> Chain:
    return Chain(t_init=options.t_init, unit_input=options.unit_input)

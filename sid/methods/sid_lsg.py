"""SiD with Long and Short Guidance: Zhou et al., ICLR 2025, arXiv 2406.01561. Text-to-image, one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, positive
from sid.passes import Turns
from sid.scales import preset, preset_faults
from sid.score_identity import ScoreIdentity


@dataclass(frozen=True)
class SidLsgSettings:
    kappa: float = 1.5  # all four scales of lsg, the teacher's of long; the paper's rows are 1.5, 2, 3 and 4.5
    guidance: str = "lsg"  # none | long | lsg | zero-cfg | anti-cfg
    alpha: float = 1.0
    t_init: float | None = None  # None: timestep 625 (VP) or sigma 2.5 (EDM)
    t_max: float = 800.0
    prompt_dropout: float = 0.1  # in the critic's step, only where the critic is guided
    lr: float = 1e-6
    lr_generator: float = 1e-6
    loss_scale: float = 1.0
    eps: float = 1e-8


class SidLsg(Method):
    name = "sid-lsg"
    version = 1
    paper = "Zhou et al., Guided Score identity Distillation, arXiv 2406.01561"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = SidLsgSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sd15-coco": {},
        "sd21-coco": {},
        "digits": {"lr": 5e-4, "lr_generator": 5e-4, "loss_scale": 100.0},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "loss_scale": 100.0},
    }

    def faults(self, options: SidLsgSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale")
        faults += Chain(t_init=options.t_init).faults(teacher.process)
        if not 0 <= options.prompt_dropout < 1:
            faults.append(f"prompt_dropout must be in [0, 1) (got {options.prompt_dropout})")
        return faults + preset_faults(options.guidance, options.kappa, teacher.guidance, teacher.name)

    def build(self, options: SidLsgSettings) -> dict[str, Net]:
        return {"critic": Copy(), "generator": Student(Chain(t_init=options.t_init))}

    def passes(self, options: SidLsgSettings) -> Turns:
        return _objective(options).passes()

    def players(self, options: SidLsgSettings) -> tuple[Player, ...]:
        return _objective(options).players(
            Optimiser(options.lr, eps=options.eps), Optimiser(options.lr_generator, eps=options.eps)
        )


def _objective(options: SidLsgSettings) -> ScoreIdentity:
    return ScoreIdentity(
        options.alpha,
        preset(options.guidance, options.kappa),
        t_max=options.t_max,
        loss_scale=options.loss_scale,
        prompt_dropout=options.prompt_dropout,
    )

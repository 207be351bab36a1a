"""Uni-Instruct: Wang et al., NeurIPS 2025, arXiv 2505.20755. SiDA whose score term is weighted by the density ratio.

The divergences whose gradient is a weight times SiD's are offered: forward KL (r), reverse KL (1, which is SiDA) and
their sum (r + 1). r is e^logit of SiDA's discriminator. The published code computes r from the generator's adversarial
loss instead, -loss / (1 - loss) with the loss scaled by a sample's elements, and does not differentiate it; the
gradient of the forward KL's expansion needs r's own (`detach_ratio: false`). Jensen-Shannon and chi-square, whose
gradients have a second part, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sid.method import TeacherFacts
from sid.methods import sida
from sid.ratio import divergence_faults
from sid.score_identity import RatioWeight, ScoreIdentity

OFFERED = ("forward-kl", "reverse-kl", "jeffreys")


@dataclass(frozen=True)
class UniInstructSettings(sida.SidaSettings):
    divergence: str = "forward-kl"  # forward-kl | reverse-kl | jeffreys
    detach_ratio: bool = True  # as published
    mean_one: bool = False  # weights over their mean in the micro-batch


class UniInstruct(sida.Sida):
    name = "uni-instruct"
    version = 1
    paper = "Wang et al., Uni-Instruct, arXiv 2505.20755"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = UniInstructSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "digits": {"lr": 5e-4, "lr_generator": 5e-4, "generator_from": 2_000, "adversarial_from": 20_000},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "generator_from": 1_000, "adversarial_from": 2_000},
    }

    def faults(self, options: Any, teacher: TeacherFacts) -> list[str]:
        return super().faults(options, teacher) + divergence_faults(options.divergence, OFFERED)

    def objective(self, options: Any) -> ScoreIdentity:
        by_ratio = RatioWeight(options.divergence, options.detach_ratio, options.mean_one)
        return replace(super().objective(options), ratio=by_ratio)

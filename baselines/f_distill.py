"""f-distill: Xu et al. 2025, arXiv 2502.15681. DMD2 whose direction is weighted by the density ratio.

Which divergence is minimised is decided by the weight h(r) alone (sid/ratio.py); h = 1 is DMD2. r is the head's opinion
of the noised image at which teacher and critic are compared. Left out, since no text that states it was read: the
normalisation of r within bins of time by running averages. h has mean 1 in each micro-batch, as public code has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from baselines import dmd2
from sid.method import Batch, TeacherFacts, Terms
from sid.ratio import divergence_faults

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FDistillSettings(dmd2.Dmd2Settings):
    divergence: str = "jensen-shannon"  # a name of sid.ratio.DIVERGENCES
    mean_one: bool = True  # h over its mean in the micro-batch


class FDistill(dmd2.Dmd2):
    name = "f-distill"
    version = 1
    paper = "Xu et al., One-step Diffusion Models with f-Divergence Distribution Matching, arXiv 2502.15681"
    verified = "update"
    covers = "EDM, VP, flow"
    split_matters = "its weights h(r) are divided by their mean over the micro-batch"
    Options = FDistillSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "digits": {"lr": 5e-4, "lr_generator": 5e-4, "t_init": 2.5, **dmd2.SMALL},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "t_init": 625.0, **dmd2.SMALL},
    }

    def faults(self, options: Any, teacher: TeacherFacts) -> list[str]:
        faults = super().faults(options, teacher) + divergence_faults(options.divergence)
        if options.divergence != "reverse-kl" and not options.gan_critic:
            faults.append("gan_critic must be above 0: the density ratio is read off the head, which must be trained")
        return faults

    def matching(self, nets: Mapping[str, Any], batch: Batch, options: Any) -> Terms:
        from baselines.distribution_matching import matching_terms
        from sid import ratio

        def weigh(features: Tensor) -> Tensor:
            h = ratio.weight(options.divergence, dmd2.head_of(nets, features))
            return ratio.with_mean_one(h) if options.mean_one else h

        by_ratio = None if options.divergence == "reverse-kl" else weigh  # whose h is 1
        return matching_terms(nets, batch, options.kappa, options.discrete, by_ratio)

"""Few-step SiD: Zhou et al., 2025, arXiv 2505.12674. A chain of K steps matched by a uniform mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sid.adversarial import Adversarial
from sid.chain import Chain
from sid.discovery import unknown
from sid.method import Copy, Method, Net, Optimiser, Player, Student, TeacherFacts, newer, positive
from sid.passes import Turns
from sid.scales import preset, preset_faults
from sid.score_identity import ScoreIdentity


@dataclass(frozen=True)
class FewStepSettings:
    """Anti-CFG's scales and SDXL's rates are not confirmed in the paper's appendix.

    The adversarial term is that of the only public code (SiD-DiT, arXiv 2509.25127): its weights, no prompt dropout.
    """

    steps: int = 4
    renoise: str = "fresh"  # fresh | fixed | ddim
    t_init: float | None = None  # None: 625 (VP); 999 gives the grid of DMD2's backward simulation
    mixture: bool = True  # False matches the last step alone, an ablation
    guidance: str = "none"  # none | long | lsg | zero-cfg | anti-cfg
    kappa: float = 1.5  # of long and lsg
    alpha: float = 1.0
    t_max: float = 800.0
    prompt_dropout: float | None = None  # of a guided critic's step; None: SiD-LSG's 0.1, and 0 beside a GAN term
    adversarial: bool = False  # needs real images
    adversarial_weight: float = 1.0  # of the generator's term, beside a loss scale of 100
    pooling: str = "channels"  # channels (U-Net) | spatial (transformer)
    generator_from: int = 20_000  # images, with an adversarial term only
    adversarial_from: int = 40_000
    lr: float = 1e-6
    lr_generator: float = 1e-6
    loss_scale: float = 100.0
    eps: float = 1e-8
    weight: str = newer("normaliser", before="normaliser")  # normaliser | a | a2 | 1/sigma | 1/sigma2: a is SiD-DiT's
    clip_value: float | None = newer(None, before=None)  # of both players' gradients; 1 in SiD-DiT's pure bf16


WEIGHTS = ("normaliser", "a", "a2", "1/sigma", "1/sigma2")


class SidFewStep(Method):
    name = "sid-few-step"
    version = 2
    paper = "Zhou et al., Few-Step Diffusion via Score identity Distillation, arXiv 2505.12674"
    verified = "update"
    covers = "EDM, VP, flow"
    Options = FewStepSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "sd15-coco": {},
        "sdxl-10k": {},
        "digits": {"lr": 5e-4, "lr_generator": 5e-4},
        "shapes": {
            "lr": 2e-4,
            "lr_generator": 2e-4,
            "pooling": "spatial",
            "generator_from": 1_000,
            "adversarial_from": 2_000,
        },
    }

    def needs_of(self, options: FewStepSettings) -> frozenset[str]:
        return frozenset({"real"}) if options.adversarial else frozenset()

    def faults(self, options: FewStepSettings, teacher: TeacherFacts) -> list[str]:
        faults = positive(options, "lr", "lr_generator", "t_max", "loss_scale")
        faults += _chain(options).faults(teacher.process)
        if options.weight not in WEIGHTS:
            faults.append(unknown("weight", options.weight, WEIGHTS))
        if options.clip_value is not None:
            faults += positive(options, "clip_value")
        if not 0 <= _prompt_dropout(options) < 1:
            faults.append(f"prompt_dropout must be in [0, 1) (got {options.prompt_dropout})")
        if options.adversarial:
            faults += _adversarial(options).faults(teacher.features, teacher.real)
            if _prompt_dropout(options):
                faults.append("prompt_dropout must be 0 beside a GAN term: its real images keep their prompts")
        return faults + preset_faults(options.guidance, options.kappa, teacher.guidance, teacher.name)

    def build(self, options: FewStepSettings) -> dict[str, Net]:
        return {"critic": Copy(), "generator": Student(_chain(options))}

    def passes(self, options: FewStepSettings) -> Turns:
        return _objective(options).passes(options.steps)

    def players(self, options: FewStepSettings) -> tuple[Player, ...]:
        critic, generator = (
            Optimiser(rate, eps=options.eps, clip_value=options.clip_value)
            for rate in (options.lr, options.lr_generator)
        )
        return _objective(options).players(critic, generator)


def _objective(options: FewStepSettings) -> ScoreIdentity:
    return ScoreIdentity(
        options.alpha,
        preset(options.guidance, options.kappa),
        _adversarial(options) if options.adversarial else None,
        t_max=options.t_max,
        loss_scale=options.loss_scale,
        prompt_dropout=_prompt_dropout(options),
        mixture=options.mixture,
        weight=options.weight,
    )


def _chain(options: FewStepSettings) -> Chain:
    return Chain(options.steps, options.t_init, options.renoise)


def _prompt_dropout(options: FewStepSettings) -> float:
    usual = 0.0 if options.adversarial else 0.1
    return usual if options.prompt_dropout is None else options.prompt_dropout


def _adversarial(options: FewStepSettings) -> Adversarial:
    """Per-sample cross-entropies, times the elements of a sample: this term does not depend on the micro-batch."""
    return Adversarial(
        critic_weight=1.0,
        generator_weight=options.adversarial_weight,
        pooling=options.pooling,
        per_sample=True,
        by_elements=True,
        generator_from=options.generator_from,
        term_from=options.adversarial_from,
    )

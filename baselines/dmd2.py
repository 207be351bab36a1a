"""DMD2: Yin et al., NeurIPS 2024, arXiv 2405.14867. Two time scales, a GAN head on the critic, backward simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sid.chain import Chain
from sid.method import (
    Batch,
    Copy,
    Head,
    Method,
    Net,
    Optimiser,
    Player,
    Progress,
    Student,
    TeacherFacts,
    Terms,
    dropout_faults,
    newer,
)
from sid.method import positive as above_zero
from sid.passes import Passes, Turn, Turns, denoising, earlier_steps, matching

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Dmd2Settings:
    steps: int = 1  # more than one: backward simulation over the grid 999, 749, 499, 249
    t_init: float | None = None  # 80 (EDM), 999 (VP), 399 (SDXL in one step); None: the process's own
    unit_input: bool = True  # VP: unit noise at the first step, not sigma z; EDM takes sigma z either way
    kappa: float = 1.0  # of the teacher: 1.75 (SD1.5), 8 (SDXL); the critic is not guided
    ratio: int = 5  # critic updates per generator update; 10 for SD1.5
    gan_generator: float = 3e-3  # weight of the GAN term; 0 leaves it out
    gan_critic: float = 1e-2
    lr: float = 2e-6
    lr_generator: float = 2e-6
    beta1: float = 0.9
    weight_decay: float = 0.01
    warmup: int = 500  # calls of both players' schedules
    warmup_calls: int = 1  # per iteration; the authors' runs make one a process: 7 (ImageNet-64), 64 (SD1.5, SDXL)
    clip_norm: float | None = 10.0
    eps: float = 1e-8
    dropout: float | None = newer(None, before=None)  # of generator and critic; None: the teacher's own
    discrete: bool = newer(True, before=False)  # times on the levels of a grid of 1000 (EDM); False: between them too


# The miniatures: Adam as the other methods have it.
SMALL: dict[str, Any] = {"beta1": 0.0, "weight_decay": 0.0, "warmup": 0, "unit_input": False, "discrete": False}


class Dmd2(Method):
    name = "dmd2"
    version = 2
    paper = "Yin et al., Improved Distribution Matching Distillation, arXiv 2405.14867"
    verified = "update"
    covers = "EDM, VP, flow"
    continues = frozenset({"generator", "critic", "head"})  # a restarted critic would first push along the guidance
    Options = Dmd2Settings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "imagenet64": {"t_init": 80.0, "dropout": 0.0, "warmup_calls": 7},
        "sd15-coco": {
            "t_init": 999.0,
            "kappa": 1.75,
            "ratio": 10,
            "lr": 1e-5,
            "lr_generator": 1e-5,
            "gan_generator": 1e-3,
            "warmup_calls": 64,
        },
        "sdxl-10k": {
            "steps": 4,
            "t_init": 999.0,
            "kappa": 8.0,
            "lr": 5e-7,
            "lr_generator": 5e-7,
            "gan_generator": 5e-3,
            "warmup_calls": 64,
        },
        "digits": {"lr": 1e-3, "lr_generator": 1e-3, "t_init": 2.5, **SMALL},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, "t_init": 625.0, **SMALL},
    }

    def needs_of(self, options: Dmd2Settings) -> frozenset[str]:
        return frozenset({"real"}) if _adversarial(options) else frozenset()

    def faults(self, options: Dmd2Settings, teacher: TeacherFacts) -> list[str]:
        faults = above_zero(options, "lr", "lr_generator", "ratio") + _chain(options).faults(teacher.process)
        if options.warmup < 0 or options.warmup_calls < 0:
            faults.append("warmup and warmup_calls must not be negative")
        if _adversarial(options) and not teacher.real:
            faults.append("the GAN term needs real images: give them, or set gan_generator and gan_critic to 0")
        if _adversarial(options) and not teacher.features:
            faults.append(f"the GAN term needs encoder features, and {teacher.name} offers none")
        faults += dropout_faults(options.dropout)
        if options.kappa < 1:
            faults.append(f"kappa must be at least 1 (got {options.kappa}): the published code ignores a smaller one")
        if options.kappa != 1 and not teacher.guidance:
            faults.append(f"kappa {options.kappa} needs an unconditional branch, and {teacher.name} has none")
        return faults

    def build(self, options: Dmd2Settings) -> dict[str, Net]:
        nets: dict[str, Net] = {
            "critic": Copy(dropout=options.dropout),
            "generator": Student(_chain(options), options.dropout),
        }
        return nets | ({"head": Head(classifier)} if _adversarial(options) else {})

    def passes(self, options: Dmd2Settings) -> Turns:
        """The critic sees the generator's images; where that rests, it makes one of its own."""
        generator, critic = matching(options.kappa), denoising()
        if _adversarial(options):
            generator += Passes(encoder=1, encoder_inputs=1)
            critic += Passes(encoder=2, encoder_backward=2)
        earlier, resting = earlier_steps(options.steps), (options.ratio - 1) / options.ratio
        return {
            "generator": Turn(generator, options.ratio, earlier),
            "critic": Turn(critic, more=resting * (1 + earlier)),
        }

    def matching(self, nets: Mapping[str, Any], batch: Batch, options: Dmd2Settings) -> Terms:
        """The generator's term beside the GAN's; f-distill weighs it."""
        from baselines.distribution_matching import matching_terms

        return matching_terms(nets, batch, options.kappa, options.discrete)

    def players(self, options: Dmd2Settings) -> tuple[Player, ...]:
        from baselines.distribution_matching import shared_critic
        from sid import losses

        def generator_loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """Matching, and the head's opinion of the noised image: softplus(-l)."""
            terms = self.matching(nets, batch, options)
            if not _adversarial(options):
                return terms
            assert terms.image is not None
            fake = _logit(nets, batch, terms.image, "fake", options.discrete)
            both = {**terms.terms, "gan": losses.logistic_real(fake)}
            return Terms(both, {"gan": options.gan_generator}, terms.health)

        def gan_terms(nets: Mapping[str, Any], batch: Batch, x: Tensor) -> dict[str, Tensor]:
            """softplus(l_fake) + softplus(-l_real), at independent times and noises."""
            assert batch.real is not None
            fake = losses.logistic_fake(_logit(nets, batch, x, "fake", options.discrete))
            logit = _logit(nets, batch, batch.real, "real", options.discrete, batch.real_condition)
            real = losses.logistic_real(logit)
            return {"gan": fake + real}

        def adam(rate: float) -> Optimiser:
            rest: dict[str, Any] = {
                "weight_decay": options.weight_decay,
                "warmup": options.warmup,
                "warmup_calls": options.warmup_calls,
                "clip_norm": options.clip_norm,
            }
            return Optimiser(rate, (options.beta1, 0.999), options.eps, **rest)

        def plays(progress: Progress) -> bool:
            return progress.iteration % options.ratio == 0

        generator = Player(
            "generator", ("generator",), generator_loss, adam(options.lr_generator), ("generator",), plays
        )
        if not _adversarial(options):
            return (generator, shared_critic(adam(options.lr), discrete=options.discrete))
        weights = {"gan": options.gan_critic}
        return (generator, shared_critic(adam(options.lr), gan_terms, weights, ("critic", "head"), options.discrete))


def _adversarial(options: Dmd2Settings) -> bool:
    return bool(options.gan_generator or options.gan_critic)


def _chain(options: Dmd2Settings) -> Chain:
    return Chain(options.steps, options.t_init, unit_input=options.unit_input)


def _logit(
    nets: Mapping[str, Any], batch: Batch, x: Tensor, stream: str, discrete: bool, condition: Any = None
) -> Tensor:
    """The head on a noised image: an encoder-only pass of the critic."""
    from baselines.distribution_matching import law_of
    from sid.players import noised

    at = noised(nets, batch, x, law_of(nets, 0, 999, discrete), stream)
    return head_of(nets, nets["critic"](at.x_t, at.t, condition or batch.condition, frozenset({"features"})).features)


def head_of(nets: Mapping[str, Any], features: Tensor) -> Tensor:
    """The head's logits on the critic's features. A NaN sample does not enter it."""
    from sid.denoiser import filled, unusable

    rows = unusable(features)
    return filled(nets["head"](filled(features, rows, 0.0)), rows, math.nan)


def classifier(channels: int, size: int) -> Any:
    """The head: strided 4x4 convolutions with GroupNorm and SiLU down to one pixel, then one logit."""
    from torch import nn

    def stage(kernel: int, stride: int, padding: int) -> list[nn.Module]:
        norm = nn.GroupNorm(min(32, channels // 4), channels)
        return [nn.Conv2d(channels, channels, kernel, stride, padding), norm, nn.SiLU()]

    layers: list[nn.Module] = []
    while size > 4:
        layers += stage(4, 2, 1)
        size //= 2
    layers += stage(size, size, 0)
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))

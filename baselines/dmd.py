"""Distribution Matching Distillation: Yin et al., CVPR 2024, arXiv 2311.18828."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

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
    dropout_faults,
    newer,
    positive,
)
from sid.passes import Passes, Turn, Turns, denoising, matching


@dataclass(frozen=True)
class DmdSettings:
    """The paper's appendices B and D."""

    t_init: float | None = 80.0  # EDM teachers are entered at sigma_max, where the pairs start; None: the process's own
    kappa: float = 1.0  # of the teacher; the critic is not guided
    regression: float = 0.25  # weight of the regression on teacher pairs; 0 needs no pairs
    distance: str = "lpips"  # lpips | l2
    lr: float = 1e-5
    lr_generator: float = 1e-5
    beta1: float = 0.9
    weight_decay: float = 0.01
    warmup: int = 500
    eps: float = 1e-8
    clip_norm: float | None = newer(10.0, before=None)
    dropout: float | None = newer(0.0, before=None)  # of generator and critic; None: the teacher's own
    discrete: bool = newer(True, before=False)  # times on the levels of a grid of 1000 (EDM); False: between them too


# The miniatures: no pairs of features, and Adam as the other methods have it.
SMALL: dict[str, Any] = {
    "t_init": None,
    "distance": "l2",
    "beta1": 0.0,
    "weight_decay": 0.0,
    "warmup": 0,
    "clip_norm": None,
    "dropout": None,
    "discrete": False,
}


class Dmd(Method):
    name = "dmd"
    version = 1
    paper = "Yin et al., One-step Diffusion with Distribution Matching Distillation, arXiv 2311.18828"
    verified = "update"
    covers = "EDM, VP, flow; l2 alone"
    Options = DmdSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"lr": 5e-5, "lr_generator": 5e-5},
        "cifar10-uncond": {"regression": 0.5},
        "imagenet64": {"lr": 2e-6, "lr_generator": 2e-6},
        "digits": {"lr": 2e-3, "lr_generator": 2e-3, **SMALL},
        "shapes": {"lr": 2e-4, "lr_generator": 2e-4, **SMALL},
    }

    def needs_of(self, options: DmdSettings) -> frozenset[str]:
        return frozenset({"pairs"}) if options.regression else frozenset()

    def faults(self, options: DmdSettings, teacher: TeacherFacts) -> list[str]:
        from baselines import pair_distance

        faults = positive(options, "lr", "lr_generator") + Chain(t_init=options.t_init).faults(teacher.process)
        faults += dropout_faults(options.dropout)
        if options.regression < 0:
            faults.append(f"regression must not be negative (got {options.regression})")
        if options.kappa != 1 and not teacher.guidance:
            faults.append(f"kappa {options.kappa} needs an unconditional branch, and {teacher.name} has none")
        return faults + (pair_distance.faults(options.distance) if options.regression else [])

    def missing(self, options: DmdSettings) -> list[str]:
        from baselines import pair_distance

        return pair_distance.missing(options.distance) if options.regression else []

    def build(self, options: DmdSettings) -> dict[str, Net]:
        return {
            "critic": Copy(dropout=options.dropout),
            "generator": Student(Chain(t_init=options.t_init), options.dropout),
        }

    def passes(self, options: DmdSettings) -> Turns:
        regression = denoising() if options.regression else Passes()
        return {"generator": Turn(matching(options.kappa) + regression), "critic": Turn(denoising())}

    def players(self, options: DmdSettings) -> tuple[Player, ...]:
        from baselines.distribution_matching import matching_terms, shared_critic
        from baselines.pair_distance import pair_distance

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            """The distribution-matching gradient (eq. 7, 8) and the regression on pairs (eq. 9)."""
            terms = matching_terms(nets, batch, options.kappa, options.discrete)
            if not options.regression:
                return terms
            assert batch.pairs is not None
            noise, image = batch.pairs
            x = nets["generator"]([noise], batch.pairs_condition)
            both = {**terms.terms, "regression": pair_distance(options.distance, x, image)}
            return Terms(both, {"regression": options.regression}, terms.health)

        def adam(rate: float) -> Optimiser:
            rest: dict[str, Any] = {"weight_decay": options.weight_decay, "clip_norm": options.clip_norm}
            return Optimiser(rate, (options.beta1, 0.999), options.eps, warmup=options.warmup, **rest)

        generator = Player("generator", ("generator",), loss, adam(options.lr_generator), train_mode=("generator",))
        return (generator, shared_critic(adam(options.lr), discrete=options.discrete))

"""Plain regression on a teacher's pairs (Luhman & Luhman 2021, arXiv 2101.02388). No score distillation: a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sid.chain import Chain
from sid.method import Batch, Method, Net, Optimiser, Player, Student, TeacherFacts, Terms, positive
from sid.passes import Turn, Turns, denoising


@dataclass(frozen=True)
class RegressionSettings:
    t_init: float | None = 80.0  # the pairs start from the full noise; None: the process's own
    distance: str = "l2"  # l2 | lpips
    lr_generator: float = 1e-5
    beta1: float = 0.9
    eps: float = 1e-8


class Regression(Method):
    name = "regression"
    version = 1
    paper = "Luhman & Luhman, Knowledge Distillation in Iterative Generative Models, arXiv 2101.02388"
    verified = "update"
    covers = "EDM, VP, flow; l2 alone"
    needs = frozenset({"pairs"})
    Options = RegressionSettings
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {},
        "digits": {"lr_generator": 5e-4, "t_init": None},
        "shapes": {"lr_generator": 1e-3, "t_init": None, "distance": "l2"},
    }

    def faults(self, options: RegressionSettings, teacher: TeacherFacts) -> list[str]:
        from baselines import pair_distance

        faults = positive(options, "lr_generator") + Chain(t_init=options.t_init).faults(teacher.process)
        return faults + pair_distance.faults(options.distance)

    def missing(self, options: RegressionSettings) -> list[str]:
        from baselines import pair_distance

        return pair_distance.missing(options.distance)

    def build(self, options: RegressionSettings) -> dict[str, Net]:
        return {"generator": Student(Chain(t_init=options.t_init))}

    def passes(self, options: RegressionSettings) -> Turns:
        return {"generator": Turn(denoising())}

    def players(self, options: RegressionSettings) -> tuple[Player, ...]:
        from baselines.pair_distance import pair_distance

        def loss(nets: Mapping[str, Any], batch: Batch) -> Terms:
            assert batch.pairs is not None
            noise, image = batch.pairs
            x = nets["generator"]([noise], batch.pairs_condition)
            return Terms({"regression": pair_distance(options.distance, x, image)})

        adam = Optimiser(options.lr_generator, (options.beta1, 0.999), options.eps)
        return (Player("generator", ("generator",), loss, adam, train_mode=("generator",)),)

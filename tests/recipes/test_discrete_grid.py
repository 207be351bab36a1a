"""DMD's and DMD2's times on EDM teachers: levels i / 999 of the rho = 7 schedule, and updates by formula on them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.suite.components import methods
from sid.laws import KarrasStep
from sid.loop.update import total_loss
from sid.method import TeacherFacts
from sid.nets import trained_parameters
from sid.noise import Edm, VpDiscrete
from tests import toy
from tests.contract.watched import Watched, perturbing
from tests.sid import formulas as f
from tests.sid.formulas import World
from tests.sid.test_formulas import ASSUMED, BATCH

LOW, HIGH = 0.002 ** (1 / 7), 80 ** (1 / 7)
LEVELS = torch.tensor([(LOW + i / 999 * (HIGH - LOW)) ** 7 for i in range(1000)], dtype=torch.float64)


class Discrete(World):
    """The same draws, as levels of the grid."""

    def sigma(self, stream: str, low: float, high: float) -> torch.Tensor:
        return LEVELS[(low + (self.batch.draws.uniform(stream) * (high - low + 1)).floor()).long()]

    def of(self, player: str) -> World:
        other = super().of(player)
        return Discrete(other.nets, other.batch, other.joined)


def test_the_published_levels() -> None:
    """980 is sigma 72.05, 999 is 80; every level is drawn equally often, both ends included."""
    assert LEVELS[[980, 999]].tolist() == pytest.approx([72.05, 80.0], abs=5e-3)
    u = (torch.arange(961_000, dtype=torch.float64) + 0.5) / 961_000
    levels, counts = np.unique(KarrasStep(20, 980).quantile(u).numpy(), return_counts=True)
    np.testing.assert_allclose(levels, LEVELS[20:981].numpy(), rtol=1e-6)
    assert (counts == 1000).all()
    assert Edm().step_law(20, 980) == KarrasStep(20, 980)
    assert VpDiscrete().step_law(20, 980) == VpDiscrete().uniform_law(20, 980)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dmd", {"generator": f.dmd_generator, "critic": lambda w: f.shared_critic(w, gan=False)}),
        ("dmd2", {"generator": f.dmd2_generator, "critic": lambda w: f.shared_critic(w, gan=True)}),
    ],
)
def test_the_gradient_is_that_of_the_formula_on_the_grid(name: str, expected: dict[str, Any], tmp_path: Path) -> None:
    method, compared = methods()[name], set()
    known = {*method.Options.__dataclass_fields__}
    options = method.options(given={key: value for key, value in ASSUMED.items() if key in known} | {"discrete": True})

    def around(player: Any, nets: Any, batch: Any) -> Any:
        before = copy.copy(batch)
        terms = player.loss(nets, batch)
        parameters = trained_parameters(nets, player.trains)
        rest: dict[str, Any] = {"allow_unused": True, "retain_graph": True, "materialize_grads": True}
        ours = torch.autograd.grad(total_loss(terms, BATCH), parameters, **rest)
        theirs = torch.autograd.grad(expected[player.name](Discrete(nets, before, True)), parameters, **rest)
        size = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in theirs]))
        for gradient, exact in zip(ours, theirs, strict=True):
            assert (gradient - exact).norm() <= 1e-9 * size, player.name
        compared.add(player.name)
        return terms

    watched: Any = Watched(method, perturbing(method, options, around), still=True)
    toy.distil(watched, options, tmp_path, images=6 * BATCH, dtype="float64")
    assert compared == {"generator", "critic"}


def test_guidance_below_one_is_refused() -> None:
    """The published code takes the unguided step for every kappa below 1."""
    method, teacher = methods()["dmd2"], TeacherFacts("t", "vp", True, True, True, True, True)
    assert method.faults(method.options("sd15-coco"), teacher) == []
    (fault,) = method.faults(method.options("sd15-coco", "", {"kappa": 0.5}), teacher)
    assert "kappa must be at least 1" in fault

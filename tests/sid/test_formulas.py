"""Every method's gradient against its objective written out a second time (tests/sid/formulas.py), in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import vsd
from benchmarks.suite.components import methods
from sid.loop.update import total_loss
from sid.method import Batch, Player, Terms
from sid.nets import trained_parameters
from tests import toy
from tests.contract.watched import LATE_PROGRESS, Nets, Watched, perturbing
from tests.sid import formulas as f
from tests.sid.formulas import World

Formula = Callable[[World], Tensor]
BATCH = 8
# What the formulas take for granted, whatever the defaults are.
ASSUMED: dict[str, Any] = {
    "t_init": 2.5,
    "t_max": 800.0,
    "unit_input": False,
    "loss_scale": 100.0,
    "distance": "l2",
    "regression": 0.25,
    "clip_value": None,
    "clip_norm": None,
    "generator_from": 0,
    "adversarial_from": 10_000,
    "gan_generator": 3e-3,
    "gan_critic": 1e-2,
    "augment": 0.0,
    "dropout": None,
    "discrete": False,
}


def few_step(steps: int, renoise: str) -> dict[str, Formula]:
    return {
        "generator": lambda w: f.score_identity(w, w.chain(steps, renoise), 1.0),
        "critic": lambda w: f.critic(w, w.chain(steps, renoise)),
    }


GUIDANCE = {"none": (1.0, 1.0, 1.0, 1.0), "zero-cfg": (0.0, 0.0, 0.0, 1.0), "anti-cfg": (-1.0, -1.0, -1.0, 1.0)}


def guided(scales: tuple[float, float, float, float]) -> dict[str, Formula]:
    dropout = 0.3 if scales[0] != 1 or scales[1] != 1 else 0.0
    return {
        "generator": lambda w: f.score_identity(w, w.x(), 1.0, scales[1:]),
        "critic": lambda w: f.guided_critic(w, scales[0], dropout),
    }


def score_identity(alpha: float) -> dict[str, Formula]:
    return {"generator": lambda w: f.score_identity(w, w.x(), alpha), "critic": f.critic}


SIM = {"distance": "pseudo-huber", "loss_scale": 1.0}
VSD = {**vsd.SMALL, "kappa": 1.0, "rank": 4, "lora_alpha": 4.0}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Formula]]] = {
    **{f"sid at {alpha}": ("sid", {"alpha": alpha}, score_identity(alpha)) for alpha in (0.5, 1.0, 1.2)},
    "sida": (
        "sida",
        {"alpha": 1.0, "generator_weight": 0.01, "critic_weight": 1.0, "per_sample": False},
        {"generator": lambda w: f.score_identity(w, w.x(), 1.0, gan=True), "critic": f.sida_critic},
    ),
    "few-step with its GAN term": (
        "sid-few-step",
        {"steps": 1, "adversarial": True, "adversarial_weight": 1e-3},
        {"generator": lambda w: f.score_identity(w, w.x(), 1.0, gan=True, per_sample=True, weight=1e-3)},
    ),
    **{
        f"few-step, {renoise}": ("sid-few-step", {"steps": 3, "renoise": renoise}, few_step(3, renoise))
        for renoise in ("fresh", "fixed", "ddim")
    },
    **{
        f"sid-lsg, {name}": ("sid-lsg", {"guidance": name, "prompt_dropout": 0.3}, guided(scales))
        for name, scales in GUIDANCE.items()
    },
    "sid-lsg, long": (
        "sid-lsg",
        {"guidance": "long", "kappa": 2.0, "prompt_dropout": 0.3},
        guided((1.0, 1.0, 1.0, 2.0)),
    ),
    "sid-lsg, lsg": ("sid-lsg", {"kappa": 2.0, "prompt_dropout": 0.3}, guided((2.0, 2.0, 2.0, 2.0))),
    "sim in x0": (
        "sim",
        {**SIM, "space": "x0", "weight": "one", "c": 0.03},
        {"generator": lambda w: f.implicit(w, "x0", 0.03), "critic": f.critic},
    ),
    **{
        f"sim squared, weight {weight}": (
            "sim",
            {**SIM, "distance": "squared", "space": "score", "weight": weight},
            {"generator": lambda w, weight=weight: f.implicit_squared(w, weight)},
        )
        for weight in ("one", "sigma4/a2", "sigma2/a", "normaliser")
    },
    "sim in scores": (
        "sim",
        {**SIM, "space": "score", "weight": "sigma2/a", "c": 0.2},
        {"generator": lambda w: f.implicit(w, "score", 0.2)},
    ),
    "diff-instruct": (
        "diff-instruct",
        {"loss_scale": 1.0},
        {"generator": lambda w: f.matching(w, w.log_normal("t"), "one"), "critic": f.critic},
    ),
    "vsd": ("vsd", VSD, {"generator": lambda w: f.matching(w, w.sigma("t", 20, 980), "1/sigma"), "critic": f.critic}),
    "vsd, guided": (
        "vsd",
        {**VSD, "kappa": 4.5},
        {"generator": lambda w: f.matching(w, w.sigma("t", 20, 980), "1/sigma", 4.5)},
    ),
    "dmd": ("dmd", {}, {"generator": f.dmd_generator, "critic": lambda w: f.shared_critic(w, gan=False)}),
    "dmd2": ("dmd2", {}, {"generator": f.dmd2_generator, "critic": lambda w: f.shared_critic(w, gan=True)}),
    "consistency": (
        "consistency",
        {"intervals": 30, "c": 1e-3, "sigma_data": 0.5, "time_scaling": 10.0, "kappa": 1.0},
        {"generator": f.consistency},
    ),
    "regression": ("regression", {}, {"generator": f.regression}),
}


@pytest.mark.parametrize(("name", "given", "expected"), CASES.values(), ids=CASES.keys())
def test_the_gradient_is_that_of_the_formula(
    name: str, given: dict[str, Any], expected: dict[str, Formula], tmp_path: Path
) -> None:
    """In all three phases; networks stand a third of themselves off the teacher and don't move."""
    method, compared = methods()[name], set()
    known = {field.name for field in fields(method.Options)}
    options = method.options(given={key: value for key, value in ASSUMED.items() if key in known} | given)

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        before = copy.copy(batch)
        terms = player.loss(nets, batch)
        if player.name in expected:
            parameters = trained_parameters(nets, player.trains)
            flags = {"allow_unused": True, "retain_graph": True, "materialize_grads": True}
            ours = torch.autograd.grad(total_loss(terms, BATCH), parameters, **flags)
            formula = expected[player.name](World(nets, before, batch.progress is LATE_PROGRESS))
            theirs = torch.autograd.grad(formula, parameters, **flags)
            size = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in theirs]))
            assert size > 0
            for gradient, exact in zip(ours, theirs, strict=True):
                assert (gradient - exact).norm() <= 1e-9 * size, player.name
            compared.add((player.name, batch.draws.iteration))
        return terms

    watched: Any = Watched(method, perturbing(method, options, around), still=True)
    toy.distil(watched, options, tmp_path, images=6 * BATCH, dtype="float64")
    assert {(player, iteration) for player in expected for iteration in (1, 2, 4, 5)} <= compared

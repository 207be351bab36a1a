"""Network passes per update, counted, against what each method needs: a pass too many is a third of a method's cost.

F is a forward pass, E one that stops at the encoder's features; B is a backward pass to weights and inputs, I one to
the inputs alone, and EB, EI are those through an encoder alone. In units of F: E 1/2, B 2, I 1, EB 1, EI 1/2.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from benchmarks.suite.components import methods
from sid import passes as declared
from sid.denoiser import Prediction
from sid.draws import Draws
from sid.generator import Generator
from sid.method import Batch, Player, Terms
from sid.passes import Turns
from tests import toy
from tests.contract.watched import Nets, Watched

BATCH = 8
UNITS = {"F": 1.0, "B": 2.0, "I": 1.0, "E": 0.5, "EB": 1.0, "EI": 0.5}
KINDS = tuple(UNITS)  # in the order in which a method declares them
OWN, LATE = 3, 2  # an iteration of the toy in which players keep their schedule, and one beyond every warm-up
Passes = dict[str, float]


class Count:
    """The passes of a short training by (iteration, player), in whole batches."""

    def __init__(self, name: str, given: dict[str, Any], folder: Path):
        self.passes: dict[tuple[int, str], Passes] = {}
        method = methods()[name]
        watched: Any = Watched(method, self._around)
        self.trained = toy.distil(watched, method.options("toy", "digits", given), folder)

    def _around(self, player: Player, nets: Nets, batch: Batch) -> Terms:
        if not self.passes:
            for net in nets.values():
                denoiser = net.denoiser if isinstance(net, Generator) else net
                if hasattr(denoiser, "process"):  # a head is no denoiser
                    denoiser.register_forward_hook(self._ran)
        self.now = self.passes.setdefault((batch.draws.iteration, player.name), defaultdict(float))
        return player.loss(nets, batch)

    def _ran(self, net: nn.Module, inputs: tuple[Any, ...], seen: Prediction) -> None:
        """Counts a forward pass, and its backward pass once a gradient comes."""
        now, share, encoder = self.now, len(inputs[0]) / BATCH, "E" if seen.x0 is None else ""
        now[encoder or "F"] += share
        kind = encoder + ("B" if any(parameter.requires_grad for parameter in net.parameters()) else "I")
        arrived: list[bool] = []

        def came(gradient: Any) -> None:
            if not arrived:
                now[kind] += share
            arrived.append(True)

        for part in (seen.x0, seen.features):
            if part is not None and part.requires_grad:
                part.register_hook(came)


def turns(name: str, given: dict[str, Any]) -> Turns:
    """What the method declares of its players."""
    method = methods()[name]
    return method.passes(method.options("toy", "digits", given))


def as_counted(passes: declared.Passes) -> Passes:
    """A declaration in the counter's letters, without what is nought."""
    return {kind: count for kind, count in zip(KINDS, astuple(passes), strict=True) if count}


def cost(passes: Passes) -> float:
    """In units of one forward pass."""
    return sum(UNITS[kind] * count for kind, count in passes.items())


# The bounds, in units of F, which must not grow; which passes those are is declared by the method itself.
SID = {"critic": 4, "generator": 7}
MATCHING = {"critic": 4, "generator": 5}
GUIDED = {"critic": 7, "generator": 11}
ADVERSARIAL = {"critic": 5.5, "generator": 7}
TABLE: dict[str, tuple[str, dict[str, Any], Mapping[str, float]]] = {
    "sid": ("sid", {}, SID),
    "sid, both scores detached": ("sid", {"detach": True}, MATCHING),
    "sim": ("sim", {}, SID),
    "sida": ("sida", {}, ADVERSARIAL),
    "sid-lsg at 1.5": ("sid-lsg", {"kappa": 1.5}, GUIDED),
    "sid-lsg at 1": ("sid-lsg", {"kappa": 1.0}, SID),
    "sid-lsg at 0": ("sid-lsg", {"kappa": 0.0}, SID),
    "sid-lsg, the teacher alone at 1.5": ("sid-lsg", {"guidance": "long"}, {"critic": 4, "generator": 9}),
    "zero-cfg": ("sid-lsg", {"guidance": "zero-cfg"}, SID),
    "anti-cfg": ("sid-lsg", {"guidance": "anti-cfg"}, {"critic": 7, "generator": 9}),
    "few steps, one of them": ("sid-few-step", {"steps": 1}, SID),
    "few steps with the GAN term": ("sid-few-step", {"steps": 1, "adversarial": True}, ADVERSARIAL),
    "diff-instruct": ("diff-instruct", {}, MATCHING),
    "vsd at 1": ("vsd", {}, MATCHING),
    "vsd at 4.5": ("vsd", {"kappa": 4.5}, {**MATCHING, "generator": 6}),
    "dmd": ("dmd", {}, {"generator": 8, "critic": 3}),
    "dmd at 1.5": ("dmd", {"kappa": 1.5}, {"generator": 9, "critic": 3}),
    "dmd without pairs": ("dmd", {"regression": 0.0}, {"generator": 5, "critic": 3}),
    "dmd2 without the GAN": ("dmd2", {"gan_generator": 0.0, "gan_critic": 0.0}, {"generator": 5, "critic": 3}),
    "dmd2": ("dmd2", {}, {"generator": 6, "critic": 6}),
    "f-distill": ("f-distill", {}, {"generator": 6, "critic": 6}),
    "uni-instruct": ("uni-instruct", {}, ADVERSARIAL),
    "realuid": ("realuid", {}, {"critic": 7, "generator": 7}),
    "realuid without real data": ("realuid", {"alpha": 1.0, "beta": 1.0}, SID),
    "consistency": ("consistency", {}, {"generator": 5}),
    "consistency at 1.5": ("consistency", {"kappa": 1.5}, {"generator": 6}),
    "regression": ("regression", {}, {"generator": 3}),
}


@pytest.mark.parametrize(("name", "given", "expected"), TABLE.values(), ids=TABLE.keys())
def test_passes_of_an_update(name: str, given: dict[str, Any], expected: Mapping[str, float], tmp_path: Path) -> None:
    """What is counted is what the method declares, from which the plan's hours come."""
    count, costs = Count(name, given, tmp_path), turns(name, given)
    assert {player for _, player in count.passes} == set(expected) == set(costs)
    for player, bound in expected.items():
        assert count.passes[LATE, player] == as_counted(costs[player].passes)
        assert costs[player].passes.cost() == cost(count.passes[LATE, player]) <= bound
    forward = sum(passes.get("F", 0) + passes.get("E", 0) for passes in count.passes.values())
    assert count.trained.passes == forward * BATCH, "the record of a run says how many samples passed a network"


@pytest.mark.parametrize("renoise", ["fresh", "ddim"])
def test_a_chain_costs_the_steps_before_the_drawn_one(renoise: str, tmp_path: Path) -> None:
    """k - 1 forward passes without a gradient more in each update: (K - 1)/2 on average."""
    given: dict[str, Any] = {"steps": 4, "renoise": renoise}
    count, costs = Count("sid-few-step", given, tmp_path), turns("sid-few-step", given)
    drawn = [Draws(0, iteration, range(1)).integer("step", 1, 4) for iteration in range(6)]
    assert len(set(drawn)) > 1
    for iteration, step in enumerate(drawn):
        for player, turn in costs.items():
            passes = as_counted(turn.passes)
            assert count.passes[iteration, player] == {**passes, "F": passes["F"] + step - 1}
    assert {turn.more for turn in costs.values()} == {statistics.mean(range(4))}


def test_the_last_step_alone_costs_the_whole_chain(tmp_path: Path) -> None:
    given: dict[str, Any] = {"steps": 3, "mixture": False}
    count, costs = Count("sid-few-step", given, tmp_path), turns("sid-few-step", given)
    for player, turn in costs.items():
        assert cost(count.passes[LATE, player]) == turn.mean.cost()


def test_dmd2_makes_an_image_where_its_generator_rests(tmp_path: Path) -> None:
    """One forward pass more in R - 1 of R critic updates: 40 in all at R = 5, and 24 without the GAN."""
    for given, whole in (({}, 40), ({"gan_generator": 0.0, "gan_critic": 0.0}, 24)):
        passes = Count("dmd2", given, tmp_path / str(whole)).passes
        assert (OWN, "generator") not in passes
        resting = cost(passes[OWN, "critic"])
        assert resting == cost(passes[LATE, "critic"]) + 1
        counted = cost(passes[LATE, "generator"]) + cost(passes[LATE, "critic"]) + 4 * resting
        costs = 5 * sum(turn.mean.cost() for turn in turns("dmd2", given).values())
        assert counted == pytest.approx(costs) and counted <= whole

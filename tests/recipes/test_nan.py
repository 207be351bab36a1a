"""A NaN in a sample's noise, real image or pair costs the terms that read it, and nothing of any other sample."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.suite.components import methods
from sid.draws import Draws
from sid.loop.update import total_loss
from sid.method import Batch, Player, Terms
from sid.nets import materialise, trained_parameters
from tests import toy
from tests.contract.watched import LATE_PROGRESS

BATCH, BAD = 8, 7
GAN_TERMS = {"discriminator", "adversarial"}


class Spoilt(Batch):
    """Some of its noises are NaN for one sample."""

    streams: tuple[str, ...] = ()

    def noise(self, stream: str) -> Tensor:
        noise = super().noise(stream)
        return spoil(noise) if stream.startswith(self.streams) else noise


def spoil(images: Tensor) -> Tensor:
    rows = (torch.arange(len(images)) == BAD).reshape(-1, 1, 1, 1)
    return torch.where(rows, torch.nan, images)


def batch(player: Player, size: int, what: str) -> Batch:
    """The first samples of the same global batch."""
    draws, data = Draws(0, 1, range(size), player.name), toy.data()
    condition = data.conditions.draw(draws.of(player.conditions or player.name))
    assert data.real is not None and data.pairs is not None
    real, real_condition = data.real(draws)
    noise, image, pairs_condition = data.pairs(draws)
    images: dict[str, Any] = {"real": real.double(), "pairs": (noise.double(), image.double())}
    if size > BAD and what == "real":
        images["real"] = spoil(images["real"])
    if size > BAD and what == "pairs":
        images["pairs"] = (spoil(images["pairs"][0]), images["pairs"][1])
    made = Spoilt(
        draws,
        condition,
        LATE_PROGRESS,
        toy.SHAPE,
        torch.empty(0, dtype=torch.float64),
        real_condition=real_condition,
        pairs_condition=pairs_condition,
        size=BATCH,
        **images,
    )
    made.streams = ("z",) if size > BAD and what == "z" else ("no such stream",)
    return made


def gradient(loss: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True))


CASES = [
    (name, player, what)
    for name, method in methods().items()
    for player in ("critic", "generator")
    for what in ("z", *sorted(method.needs_of(method.options("toy", "digits"))))
    if player in {other.name for other in method.players(method.options("toy", "digits"))}
    and not (name in ("consistency", "regression") and what == "z")
] + [("sid-few-step", player, what) for player in ("critic", "generator") for what in ("z", "real")]


@pytest.mark.parametrize(("name", "player", "what"), CASES, ids=["-".join(case) for case in CASES])
def test_the_update_is_that_of_the_other_samples(name: str, player: str, what: str) -> None:
    method = methods()[name]
    options = method.options("toy", "digits", {"adversarial": True} if name == "sid-few-step" else {})
    nets = materialise(method.build(options), toy.teacher(dtype=torch.float64), 0, features)
    random = torch.Generator().manual_seed(3)
    for net in nets.values():
        net.double()
    for name, net in nets.items():
        for parameter in net.parameters() if name != "teacher" else ():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    playing = next(other for other in method.players(options) if other.name == player)
    parameters = trained_parameters({name: net.requires_grad_(False) for name, net in nets.items()}, playing.trains)
    for parameter in parameters:
        parameter.requires_grad_(True)
    spoilt, whole, others = (playing.loss(nets, batch(playing, *given)) for given in ((8, what), (8, ""), (7, "")))
    expected: dict[str, Tensor] = {}
    for name, term in spoilt.terms.items():
        lost = torch.isnan(term)
        assert not lost[:BAD].any(), "another sample's term is NaN"
        expected[name] = others.terms[name] if lost[BAD] else whole.terms[name]
        if lost[BAD] and name in GAN_TERMS and method.split_matters:
            expected[name] = expected[name] * BAD / BATCH  # a mean over seven, where the mean keeps its denominator
    assert what != "z" or any(torch.isnan(term)[BAD] for term in spoilt.terms.values())
    ours = gradient(total_loss(spoilt, BATCH), parameters)
    theirs = gradient(total_loss(Terms(expected, whole.weights), BATCH), parameters)
    assert sum(float(part.norm()) for part in theirs) > 0
    for part, exact in zip(ours, theirs, strict=True):
        assert (part - exact).norm() <= 1e-10 * exact.norm() + 1e-12


def features(teacher: Any) -> Tensor:
    x_t = torch.zeros(1, *toy.SHAPE, dtype=torch.float64)
    condition = toy.data().conditions.draw(Draws(0, 0, range(1)))
    return teacher(x_t, torch.ones(1, dtype=torch.float64), condition, frozenset({"features"})).features

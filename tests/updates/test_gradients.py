"""Every player's gradient is that of its formula, on every process, between networks a third of themselves apart.

The updates of test_updates.py begin where critic and teacher are equal, and there many terms are small. Here nothing
is: each player's loss before and beyond every warm-up, in float64, dropout on.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.suite.components import methods
from sid import stages
from sid.draws import Draws
from sid.loop.update import total_loss
from sid.lora import Adapted
from sid.method import Batch, Progress
from sid.nets import materialise, trained_parameters
from tests.updates import loop
from tests.updates.cases import ALL, BATCH, Case
from tests.updates.loop import PlainNet
from tests.updates.test_updates import probe
from tests.updates.worlds import World

PHASES = (0, 10**9)  # images


def apart(nets: dict[str, Any], parameters: list[torch.nn.Parameter]) -> None:
    random = torch.Generator().manual_seed(7)
    for parameter in parameters:
        size = float(parameter.detach().norm()) / parameter.numel() ** 0.5 or 1.0
        parameter.data += 0.3 * size * torch.randn(parameter.shape, generator=random, dtype=torch.float64)


def same_numbers(net: Any, world: World, share: float | None) -> PlainNet:
    """The reference's network on the very parameters of ours, in layers of its own."""
    body = stages.body(getattr(net, "denoiser", net) if type(net).__name__ == "View" else net)
    parts = {name: part for name, part in body.named_modules() if isinstance(part, Adapted)}
    plain = loop.copied(world.teacher().network, share)
    plain.numbers = {
        name.replace(".base.", "."): value
        for name, value in body.named_parameters()
        if not name.endswith(("up.weight", "down.weight")) or not parts
    }
    if parts and net.on:
        plain.changes = {f"{name}.weight": (part.up.weight, part.down.weight) for name, part in parts.items()}  # type: ignore[misc]
        plain.scale = next(iter(parts.values())).scale
    return plain


@pytest.mark.parametrize(("case", "world"), [(case, world) for _, case, world in ALL], ids=[name for name, _, _ in ALL])
def test_the_gradient_is_that_of_the_formula(case: Case, world: World) -> None:
    method = methods()[case.method]
    options = method.options(given=case.options(world))
    made: dict[str, Any] = materialise(
        method.build(options), world.teacher(), 0, lambda probed: probed(*probe(world), {"features"}).features
    )
    for net in made.values():
        net.double()
    players = {player.name: player for player in method.players(options)}
    for player in players.values():
        apart(made, trained_parameters(made, player.trains))
    for follower in case.followers:
        made[follower].load_state_dict(made["generator"].state_dict())
    nets = {name: same_numbers(net, world, case.dropout) for name, net in made.items() if name != "head"}
    if "head" in made:
        nets["head"] = PlainNet(made["head"], dict(made["head"].named_parameters()))
    seats = case.seats(world)
    assert {seat.name for seat in seats} == set(players)
    for seat in seats:
        player = players[seat.name]
        for net in made.values():
            net.requires_grad_(False)
        parameters = trained_parameters(made, player.trains)
        for parameter in parameters:
            parameter.requires_grad_(True)
        for images in PHASES:
            for name, net in made.items():
                net.train(name in player.train_mode)
            draws = Draws(0, 1, range(BATCH), seat.name)
            turn = loop.turn_of(world, nets, seat, draws, BATCH, images)
            torch.manual_seed(11)
            ours = gradients(total_loss(player.loss(made, batch_of(turn, images)), BATCH), parameters)
            torch.manual_seed(11)
            theirs = gradients(seat.loss(turn), parameters)
            size = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in theirs]))
            assert size > 0
            for gradient, exact in zip(ours, theirs, strict=True):
                assert (gradient - exact).norm() <= 1e-9 * size, (seat.name, images)


def batch_of(turn: loop.Turn, images: int) -> Batch:
    noise, image, given = turn.pair
    return Batch(
        turn.draws,
        turn.condition,
        Progress(1, images, 10**9),
        turn.world.shape,
        torch.empty(0, dtype=torch.float64),
        turn.real,
        turn.real_condition,
        (noise, image),
        given,
        size=BATCH,
    )


def gradients(loss: Tensor, parameters: list[torch.nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

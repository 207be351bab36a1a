"""A method whose players are watched while the one training loop runs them, through all phases of a long training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from sid.loop.adam import Adam
from sid.method import Batch, Method, Player, Progress, Terms
from sid.nets import trained_parameters
from sid.parallel.sharding import whole

Nets = Mapping[str, nn.Module]
Around = Callable[[Player, Nets, Batch], Terms]
# Three phases in turn: each player by its own schedule; every player; every player, beyond every warm-up.
OWN_SCHEDULE, EVERYBODY, LATE = range(3)
LATE_PROGRESS = Progress(iteration=10**6, images=10**9, total=10**9)


def phase(progress: Progress) -> int:
    return progress.iteration % 3


class Watched:
    """The method itself in three phases; `around` computes each loss, `still` keeps all weights where they are."""

    def __init__(self, method: Method, around: Around | None = None, still: bool = False):
        self.method, self.still = method, still
        self.around = around or (lambda player, nets, batch: player.loss(nets, batch))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def players(self, options: Any) -> tuple[Player, ...]:
        return tuple(self._watched(player) for player in self.method.players(options))

    def _watched(self, player: Player) -> Player:
        def plays(progress: Progress) -> bool:
            return phase(progress) != OWN_SCHEDULE or player.plays(progress)

        optimiser = replace(player.optimiser, lr=0.0) if self.still else player.optimiser
        return replace(player, loss=partial(self._loss, player), plays=plays, optimiser=optimiser)

    def _loss(self, player: Player, nets: Nets, batch: Batch) -> Terms:
        if phase(batch.progress) == LATE:
            batch.progress = LATE_PROGRESS
        return self.around(player, nets, batch)


@contextlib.contextmanager
def before_each_step(look: Callable[[Adam], None]) -> Iterator[None]:
    """`look` sees every optimiser with its final gradients, just before it steps."""
    step = Adam.step

    def seen(optimiser: Adam) -> None:
        look(optimiser)
        step(optimiser)

    with patch.object(Adam, "step", seen):
        yield


def perturbing(method: Method, options: Any, around: Around) -> Around:
    """As `around`, but every trained network first moves by a third of itself.

    Where critic and teacher are equal most gradients are exactly 0, and where they differ by 1 % their difference
    has two digits less than float32: neither says anything about a split.
    """
    moved = False

    def perturbed(player: Player, nets: Nets, batch: Batch) -> Terms:
        nonlocal moved
        if not moved:
            moved, random = True, torch.Generator().manual_seed(7)
            for other in method.players(options):
                for parameter in trained_parameters(nets, other.trains):
                    weight = whole(parameter.detach())
                    size = float(weight.double().norm()) / weight.numel() ** 0.5 or 1.0
                    _add(parameter, 0.3 * size * torch.randn(weight.shape, generator=random).to(weight))
        return around(player, nets, batch)

    return perturbed


def _add(parameter: nn.Parameter, noise: Tensor) -> None:
    """The same whole noise, however the parameter is cut."""
    if isinstance(parameter.data, DTensor):
        noise = distribute_tensor(noise, parameter.device_mesh, parameter.placements)
    parameter.data += noise

"""Warm-ups count what their sources count: own updates, or calls of a schedule in every iteration."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from diffusers.optimization import get_constant_schedule_with_warmup

from benchmarks.suite.checks import options_of
from benchmarks.suite.components import methods
from benchmarks.suite.load import load_suite
from sid.loop.adam import Adam
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.method import Batch, Player, Terms
from tests import toy
from tests.contract.watched import Nets, before_each_step

METHOD = methods()["dmd2"]


def rates(iterations: int, folder: Path, warmup: int, calls: int, ratio: int) -> dict[str, dict[int, float]]:
    """The share of the rate at which each player steps, by iteration, in a training of DMD2."""
    options = METHOD.options("toy", "digits", {"warmup": warmup, "warmup_calls": calls, "ratio": ratio})
    playing: dict[str, tuple[str, int]] = {}
    seen: dict[str, dict[int, float]] = defaultdict(dict)

    class Watching(type(METHOD)):  # type: ignore[misc]
        def players(self, options: object) -> tuple[Player, ...]:
            return tuple(watching(player) for player in METHOD.players(options))

    def watching(player: Player) -> Player:
        def loss(nets: Nets, batch: Batch) -> Terms:
            playing["now"] = (player.name, batch.progress.iteration)
            return player.loss(nets, batch)

        return Player(
            player.name, player.trains, loss, player.optimiser, player.train_mode, player.plays, player.conditions
        )

    def look(optimiser: Adam) -> None:
        name, iteration = playing["now"]
        seen[name][iteration] = optimiser.rate / optimiser.settings.lr

    loop = LoopSettings(images=8 * iterations, batch=8, save_seconds=1e9)
    with before_each_step(look):
        train(Training(Watching(), options, toy.teacher(), toy.data(), loop), Execution(folder, quiet=True))
    return seen


def published(iterations: int, warmup: int, processes: int) -> list[float]:
    """Diffusers' schedule, stepped by each process after every iteration."""
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_constant_schedule_with_warmup(optimiser, warmup)
    shares = []
    for _ in range(iterations):
        shares.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        for _ in range(processes):
            schedule.step()
    return shares


@pytest.mark.parametrize(("warmup", "processes", "ratio"), [(50, 6, 3), (40, 1, 4)])
def test_both_players_follow_the_schedule_of_every_iteration(
    warmup: int, processes: int, ratio: int, tmp_path: Path
) -> None:
    """A generator that plays every third time warms up no slower than its critic."""
    ours, theirs = rates(13, tmp_path, warmup, processes, ratio), published(13, warmup, processes)
    assert ours["critic"] == pytest.approx(dict(enumerate(theirs)))
    assert ours["generator"] == pytest.approx({k: theirs[k] for k in range(0, 13, ratio)})


def test_without_calls_a_player_counts_its_own_updates(tmp_path: Path) -> None:
    ours = rates(7, tmp_path, 4, 0, 3)
    assert ours["generator"] == pytest.approx({0: 0.25, 3: 0.5, 6: 0.75})
    assert list(ours["critic"].values()) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1])


@pytest.mark.parametrize(
    ("suite", "task", "entry", "processes"),
    [
        ("sd15", "sd15-coco", "dmd2-without-gan", 64),
        ("sd15", "sd15-coco", "dmd2", 64),
        ("sdxl", "sdxl-10k", "dmd2", 64),
        ("sdxl", "sdxl-10k", "dmd2-1", 64),
        ("edm64", "imagenet64", "dmd2", 7),
        ("edm64", "imagenet64", "dmd2-longer", 7),
        ("cifar10", "cifar10-uncond", "dmd2", 7),
    ],
)
def test_recipes_warm_up_as_many_processes_at_once(suite: str, task: str, entry: str, processes: int) -> None:
    """500 calls: 8 iterations on 64 GPUs, 72 on 7."""
    options = options_of(load_suite(suite), task, entry)
    assert (options.warmup, options.warmup_calls) == (500, processes)

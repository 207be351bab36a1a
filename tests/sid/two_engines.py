"""Trainings of two processes, started by torchrun: `python two_engines.py FOLDER`. One function, one claim."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.distributed.tensor import DTensor

from benchmarks.suite.components import methods
from sid.fault import Fault
from sid.loop import state
from sid.method import Batch, Player, Terms
from sid.parallel.settings import EngineSettings
from tests import toy
from tests.sid import families

DOUBLE: dict[str, Any] = {"dtype": "float64"}
STRATEGIES = ("ddp", "fsdp2")
CLIPPED = {"clip_norm": 1e-3}
SID, VSD, DMD2 = (methods()[name] for name in ("sid", "vsd", "dmd2"))


class Killed(Exception):
    """The process is gone."""


class Around:
    """A method whose losses go through `change(player, nets, batch)`."""

    def __init__(self, method: Any, change: Callable[[Player, Any, Batch], Terms]):
        self.method, self.change = method, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def players(self, options: Any) -> tuple[Player, ...]:
        return tuple(
            replace(player, loss=lambda nets, batch, player=player: self.change(player, nets, batch))
            for player in self.method.players(options)
        )


def options(method: Any, given: dict[str, Any] | None = None) -> Any:
    return method.options("toy", "digits", given)


def killed_at_three(method: Any) -> Any:
    def change(player: Player, nets: Any, batch: Batch) -> Terms:
        if batch.progress.iteration == 3:
            raise Killed
        return player.loss(nets, batch)

    return Around(method, change)


def poisoned(method: Any) -> Any:
    """The sample of index 5 is bad in every loss; of two processes only the second has it."""

    def change(player: Player, nets: Any, batch: Batch) -> Terms:
        terms = player.loss(nets, batch)
        bad = torch.arange(batch.draws.indices.start, batch.draws.indices.stop) == 5
        spoiled = {name: torch.where(bad, float("nan"), term) for name, term in terms.terms.items()}
        return replace(terms, terms=spoiled)

    return Around(method, change)


def interrupted(method: Any, folder: Path, **settings: Any) -> None:
    """Three steps of six, saved."""
    try:
        toy.distil(killed_at_three(method), options(method), folder, save_seconds=0.0, **settings)
    except Killed:
        return
    raise AssertionError("nobody was killed")


def seen_by(method: Any, look: Callable[[Player, Any], None]) -> Any:
    def change(player: Player, nets: Any, batch: Batch) -> Terms:
        look(player, nets)
        return player.loss(nets, batch)

    return Around(method, change)


def adapters_are_shards(folder: Path) -> torch.Tensor:
    """A LoRA critic over the teacher's base trains in shards; returns how far its adapters went."""
    first: dict[str, torch.Tensor] = {}
    moved = []

    def look(player: Player, nets: Any) -> None:
        assert all(isinstance(parameter, DTensor) for net in nets.values() for parameter in net.parameters())
        for name, parameter in nets["critic"].named_parameters():
            weight = parameter.full_tensor().clone()
            difference = (weight - first.setdefault(name, weight)).abs().max()
            if "up." in name or "down." in name:
                moved.append(difference)
            else:
                assert difference == 0, f"{name} of the base moved"

    settings = EngineSettings(strategy="fsdp2", precision="bf16")
    trained = toy.distil(seen_by(VSD, look), options(VSD), folder, engine=settings)
    assert not any(isinstance(parameter, DTensor) for parameter in trained.generator.parameters())
    assert torch.isfinite(toy.weights(trained)).all()
    return torch.stack(moved).max()


def fault_of(folder: Path, at_once: int) -> str:
    """The fault on both processes when rank 0 can't seal its state, written at once or meanwhile."""
    seal, state.SYNCHRONOUS_BYTES, before = state.atomic.seal, at_once, state.SYNCHRONOUS_BYTES

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    state.atomic.seal = full
    try:
        toy.distil(SID, options(SID), folder, save_seconds=0.0, engine=EngineSettings(strategy="ddp"))
    except Fault as fault:
        return fault.sentences[0]
    finally:
        state.atomic.seal, state.SYNCHRONOUS_BYTES = seal, before
    raise AssertionError("a full disk went unnoticed")


def in_threads(folder: Path, **settings: Any) -> torch.Tensor:
    """Every state is written by a thread, beside the training."""
    before, state.SYNCHRONOUS_BYTES = state.SYNCHRONOUS_BYTES, 0
    try:
        interrupted(SID, folder, **settings)
    finally:
        state.SYNCHRONOUS_BYTES = before
    return toy.weights(toy.distil(SID, options(SID), folder, save_seconds=0.0, **settings))


def apart(place: Path, engine: EngineSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """Six steps with moments that are stored apart, at once and in two parts; small parameters too."""
    settings = {**DOUBLE, "engine": engine}
    with mock.patch("sid.loop.adam.SMALLEST", 32):
        at_once = toy.weights(toy.distil(SID, options(SID), place, **settings))
        interrupted(SID, place.with_name(f"{place.name}-cut"), **settings)
        in_two = toy.distil(SID, options(SID), place.with_name(f"{place.name}-cut"), save_seconds=0.0, **settings)
    return at_once, toy.weights(in_two)


def overlapped(folder: Path) -> torch.Tensor:
    """Sums in small buckets, which begin in the last of two micro-batches."""
    settings = {**DOUBLE, "engine": EngineSettings("ddp", overlap=True), "micro_batch": 2}
    with mock.patch("sid.parallel.overlap.BUCKET", 100):
        return toy.weights(toy.distil(SID, options(SID), folder, **settings))


def main(folder: Path) -> None:
    rank = torch.distributed.get_rank
    results: dict[str, Any] = {}
    for strategy in STRATEGIES:
        settings = {**DOUBLE, "engine": EngineSettings(strategy=strategy)}
        place = folder / strategy
        results[strategy, "whole"] = toy.weights(toy.distil(SID, options(SID), place / "whole", **settings))
        interrupted(SID, place / "cut", **settings)
        if rank() == 0:
            for other in ("one", *STRATEGIES):
                shutil.copytree(place / "cut", place / f"cut-for-{other}")
        torch.distributed.barrier()
        for name, where in (("resumed", place / "cut"), ("from one", folder / f"one-for-{strategy}")):
            results[strategy, name] = toy.weights(toy.distil(SID, options(SID), where, save_seconds=0.0, **settings))
        results[strategy, "in threads"] = in_threads(place / "threads", **settings)
        clipped = toy.distil(DMD2, options(DMD2, CLIPPED), place / "clipped", log_images=8, **settings)
        results[strategy, "clipped"] = toy.weights(clipped)
        spoiled = toy.distil(poisoned(SID), options(SID), place / "poisoned", **settings)
        results[strategy, "poisoned"] = toy.weights(spoiled)
        again = {**DOUBLE, "engine": EngineSettings(strategy=strategy, checkpointing=True, split_backward=True)}
        results[strategy, "again"] = toy.weights(toy.distil(SID, options(SID), place / "again", **again))
        for name, given in (("coded", {"eight_bit": True}), ("away", {"offload": True})):
            both = apart(place / name, EngineSettings(strategy=strategy, **given))
            results[strategy, name], results[strategy, f"{name} and cut"] = both
        half = {"engine": EngineSettings(strategy=strategy, precision="bf16")}
        results[strategy, "bf16"] = toy.weights(toy.distil(SID, options(SID), place / "bf16", **half))
    for saved, strategy in (STRATEGIES, reversed(STRATEGIES)):
        settings = {**DOUBLE, "engine": EngineSettings(strategy=strategy), "save_seconds": 0.0}
        place = folder / saved / f"cut-for-{strategy}"
        results[strategy, f"from {saved}"] = toy.weights(toy.distil(SID, options(SID), place, **settings))
    summed = {**DOUBLE, "engine": EngineSettings("ddp"), "micro_batch": 2}
    results["summed at the end"] = toy.weights(toy.distil(SID, options(SID), folder / "at-the-end", **summed))
    results["overlapped"] = overlapped(folder / "overlapped")
    for case in families.CASES:
        results[case] = families.distil(case, folder, folder / "sharded" / case, EngineSettings("fsdp2"))
    for case in families.HALVED:
        results["half", case] = families.distil(case, folder, folder / "half" / case, families.HALF, "float32")
    results["adapters"] = adapters_are_shards(folder / "adapters")
    results["at once"] = fault_of(folder / "full", 2**26)
    results["meanwhile"] = fault_of(folder / "full-thread", 0)
    torch.save(results, folder / f"found-{rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

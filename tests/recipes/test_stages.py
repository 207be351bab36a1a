"""A second stage goes on from what its source takes over, and from nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.suite import digests as handed
from benchmarks.suite.components import methods
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan
from sid import stages
from sid.fault import Fault
from sid.generator import Generator
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Trained, Training, _Run, train
from sid.method import Batch, Player, Terms
from sid.parallel.engine import Engine
from tests import toy
from tests.contract.watched import Nets, Watched

DMD2, SIDA, CONSISTENCY = (methods()[name] for name in ("dmd2", "sida", "consistency"))
WITHOUT_GAN: dict[str, Any] = {"gan_generator": 0.0, "gan_critic": 0.0}


def trained(name: str, folder: Path, given: dict[str, Any], leaves: tuple[str, ...], **loop: Any) -> Trained:
    method = methods()[name]
    settings = LoopSettings(**{"images": 48, "batch": 8, "ema_halflife": 50.0, "save_seconds": 1e9, **loop})
    training = Training(method, method.options("toy", "digits", given), toy.teacher(), toy.data(), settings)
    return train(training, Execution(folder, quiet=True, leaves=leaves))


def begun(
    method: Any, given: dict[str, Any], folder: Path, start: Generator, networks: Any, **loop: Any
) -> dict[str, dict[str, Tensor]]:
    """Every network's tensors before the first iteration."""
    settings = LoopSettings(images=48, batch=8, save_seconds=1e9, **loop)
    training = Training(
        method, method.options("toy", "digits", given), toy.teacher(), toy.data(), settings, "", start, networks
    )
    run = _Run(training, folder, Engine())
    return {name: stages.state_of(net) for name, net in run.nets.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_dmd2_goes_on_from_generator_critic_and_head(tmp_path: Path) -> None:
    """The raw generator, not its average; the averages begin as the generator."""
    first = trained("dmd2", tmp_path / "first", {"ratio": 1}, ("critic", "generator", "head"))
    assert not same(first.networks["generator"], stages.state_of(first.generator))
    second = begun(DMD2, {}, tmp_path / "second", first.generator, first.networks)
    for name in ("generator", "critic", "head"):
        assert same(second[name], first.networks[name]), name
    assert same(second["ema"], first.networks["generator"])
    assert not same(second["critic"], second["teacher"])


def test_what_the_first_stage_lacks_is_new(tmp_path: Path) -> None:
    """DMD2's first stage has no head: the second's is drawn from its seed as ever."""
    first = trained("dmd2", tmp_path / "first", {**WITHOUT_GAN, "ratio": 1}, ("critic", "generator"))
    second = begun(DMD2, {}, tmp_path / "second", first.generator, first.networks)
    alone = begun(DMD2, {}, tmp_path / "alone", first.generator, {})
    assert same(second["critic"], first.networks["critic"]) and same(alone["critic"], alone["teacher"])
    assert same(second["head"], alone["head"])


def test_sid2a_takes_the_generator_alone(tmp_path: Path) -> None:
    """Its critic begins as the teacher, its average as the generator."""
    start = Generator(toy.teacher(seed=5))
    networks = begun(SIDA, {}, tmp_path, start, {})
    distilled = stages.state_of(start)
    assert same(networks["generator"], distilled) and same(networks["ema"], distilled)
    assert same(networks["critic"], networks["teacher"]) and not same(networks["critic"], distilled)


def test_a_consistency_target_begins_as_its_generator(tmp_path: Path) -> None:
    start = Generator(toy.teacher(seed=5))
    networks = begun(CONSISTENCY, {}, tmp_path, start, {})
    assert same(networks["target"], stages.state_of(start))


@pytest.mark.parametrize(("ramp", "halflife"), [(0.5, 30.0), (0.05, 1e9)])
def test_the_averages_ramp_counts_what_was_seen_before(ramp: float, halflife: float, tmp_path: Path) -> None:
    """h = min(H, ramp * images before the iteration), so that the first step copies: a plain loop over the weights."""
    weights: list[Tensor] = []

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        if player.name == "critic":
            weights.append(torch.cat([part.detach().flatten() for part in nets["generator"].parameters()]))
        return player.loss(nets, batch)

    method = methods()["sid"]
    watched: Any = Watched(method, around)
    recipe: dict[str, Any] = {"dtype": "float64", "ema_halflife": halflife, "ema_ramp": ramp}
    last = toy.distil(watched, method.options("toy", "digits"), tmp_path, images=7 * 8, **recipe)
    average = weights[0]
    for iteration, after in enumerate(weights[1:]):  # what the next iteration begins with
        h = min(halflife, ramp * 8 * iteration)
        beta = 0.5 ** (8 / h) if h else 0.0
        average = after + beta * (average - after)
    # The last iteration's average is not among the weights seen: the run of one iteration less ends there.
    shorter = toy.distil(watched, method.options("toy", "digits"), tmp_path / "shorter", images=6 * 8, **recipe)
    assert (toy.weights(shorter) - average).abs().max() < 1e-12
    assert not torch.equal(toy.weights(last), toy.weights(shorter))


def test_a_folder_holds_them_under_its_runs_digest(tmp_path: Path) -> None:
    from sid import generator

    first = trained("dmd2", tmp_path / "state", {"ratio": 1}, ("critic", "head"))
    folder = tmp_path / "task" / "entry" / "0"
    with pytest.raises(Fault, match=r"is missing.*sidbench run SUITE task/entry/0"):
        stages.load(folder, ["critic"])
    stages.save(folder, first.networks, "abc")
    generator.save(first.generator, folder, {"digest": "abc"})
    held = stages.load(folder, ["critic", "head"])
    assert all(same(held[name], first.networks[name]) for name in held)
    with pytest.raises(Fault, match="holds no target"):
        stages.load(folder, ["target"])
    generator.save(first.generator, folder, {"digest": "other"})
    with pytest.raises(Fault, match="of another run"):
        stages.load(folder, ["critic"])


def test_rows_hand_over_what_the_method_says() -> None:
    suite = load_suite("sd15")
    assert handed.taken_networks(suite, "sd15-coco", "dmd2") == ["critic", "generator"]  # the first stage has no head
    assert handed.left_networks(suite, "sd15-coco", "dmd2-without-gan") == ["critic", "generator"]
    assert handed.taken_networks(load_suite("cifar10"), "cifar10-uncond", "sid2a-1.0") == []
    plan = Plan(suite)
    first, second = (plan.find("run", f"sd15-coco/{name}/0") for name in ("dmd2-without-gan", "dmd2"))
    assert first.params["leaves"] == second.params["takes"] == ["critic", "generator"]
    alone = suite.model_copy(deep=True)
    del alone.tasks["sd15-coco"].entries["dmd2"]
    assert Plan(alone).find("run", "sd15-coco/dmd2-without-gan/0").digest == first.digest, "a later row renames nothing"


def test_a_finished_stage_writes_its_networks_later(tmp_path: Path) -> None:
    """A row that others come to go on from is asked again: its state gives them, and nothing is trained."""
    first = trained("dmd2", tmp_path, {"ratio": 1}, ())
    again = trained("dmd2", tmp_path, {"ratio": 1}, ("critic",))
    assert again.passes == first.passes and same(stages.state_of(first.generator), stages.state_of(again.generator))
    assert again.networks.keys() == {"critic"}
    assert dataclasses.replace(again, networks={}).curve == first.curve

"""When players play, who drops out meanwhile, and what a resume must remember of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.suite.components import methods
from sid.adversarial import Adversarial, generator_term
from sid.chain import Chain
from sid.denoiser import Denoiser
from sid.generator import Generator
from sid.method import Batch, Method, Player, Progress, Terms
from sid.noise import Edm, VpDiscrete
from sid.players import same_dropout
from tests import toy
from tests.contract.watched import Nets, Watched


def player(method: Method, name: str, **given: Any) -> Player:
    return next(p for p in method.players(method.options("toy", "digits", given)) if p.name == name)


def test_sida_waits_twice() -> None:
    """Only the critic, then the generator on its score term alone, then both terms at one half."""
    generator = player(methods()["sida"], "generator", generator_from=100, adversarial_from=200)
    assert [generator.plays(Progress(0, images, 1000)) for images in (0, 99, 100, 250)] == [False, False, True, True]
    part = Adversarial(generator_from=100, term_from=200)
    assert [part.joined(Progress(0, images, 1000)) for images in (100, 199, 200)] == [False, False, True]


def test_dmd2_plays_its_generator_every_fifth_time() -> None:
    """Two time scales: the critic always, the generator first in an iteration and once in R."""
    method = methods()["dmd2"]
    first, second = method.players(method.options("toy", "digits"))
    assert (first.name, second.name) == ("generator", "critic")
    played = [step for step in range(12) if first.plays(Progress(step, 8 * step, 1000))]
    assert played == [0, 5, 10] and all(second.plays(Progress(step)) for step in range(12))


def test_a_resume_remembers_the_warm_up(tmp_path: Path) -> None:
    method = methods()["dmd2"]
    options = method.options("toy", "digits", {"warmup": 6, "warmup_calls": 0, "ratio": 1})

    class Killed(Exception):
        pass

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        if batch.draws.iteration == 3:
            raise Killed
        return player.loss(nets, batch)

    killed: Any = Watched(method, around)
    whole = toy.distil(method, options, tmp_path / "whole", save_seconds=0.0)
    with pytest.raises(Killed):
        toy.distil(killed, options, tmp_path / "cut", save_seconds=0.0)
    resumed = toy.distil(method, options, tmp_path / "cut", save_seconds=0.0)
    assert torch.equal(toy.weights(whole), toy.weights(resumed))


@pytest.mark.parametrize("name", list(methods()))
def test_a_network_drops_out_in_its_own_update_alone(name: str, tmp_path: Path) -> None:
    """Critics learn from images without dropout, and the generator's loss asks teacher and critic without it."""
    method = methods()[name]
    seen: dict[str, set[str]] = {}

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        seen[player.name] = {name for name, net in nets.items() if net.training}
        return player.loss(nets, batch)

    watched: Any = Watched(method, around)
    toy.distil(watched, method.options("toy", "digits"), tmp_path, images=16)
    expected = {p.name: {path.partition(".")[0] for path in p.trains} for p in method.players(method.options("toy"))}
    if name == "diff-instruct":  # as published: all three, under masks shared by teacher and critic
        expected["generator"] |= {"teacher", "critic"}
    for name, training in seen.items():
        assert training & {"generator", "critic", "teacher"} == expected[name] & {"generator", "critic", "teacher"}


@pytest.mark.parametrize(("name", "same"), [("sid", False), ("diff-instruct", True), ("dmd", True), ("dmd2", True)])
def test_whose_labels_a_player_sees(name: str, same: bool, tmp_path: Path) -> None:
    """Fresh ones in each step of SiD; in the others both players share theirs."""
    seen: dict[tuple[int, str], torch.Tensor] = {}

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        terms = player.loss(nets, batch)
        assert batch.condition.labels is not None
        seen[batch.draws.iteration, player.name] = batch.condition.labels
        return terms

    method = methods()[name]
    watched: Any = Watched(method, around)
    toy.distil(watched, method.options("toy", "digits"), tmp_path)
    equal = [torch.equal(seen[step, "critic"], seen[step, "generator"]) for step in (1, 2, 4, 5)]
    assert all(equal) if same else not any(equal)


def test_diff_instruct_drops_the_same_units_of_teacher_and_critic() -> None:
    """Two passes in train mode differ; under one mask a critic that is the teacher's copy says the same."""
    teacher: Denoiser = toy.teacher(dropout=0.5).train()
    batch: Any = type("Like", (), {"like": torch.empty(0)})()
    x_t, t = torch.randn(8, *toy.SHAPE), torch.full((8,), 1.0)
    first, second = same_dropout(batch, teacher, teacher, x_t, t)
    assert torch.equal(first, second)
    assert not torch.equal(teacher(x_t, t).image, teacher(x_t, t).image)


def test_the_generators_logit_is_clamped() -> None:
    """Beyond 10 in size a logit sends no gradient (SiDA)."""
    logit = torch.tensor([[-20.0], [-3.0], [3.0], [20.0]], requires_grad=True)
    weight = torch.ones(4)
    generator_term(logit, weight, 16, Adversarial(per_sample=True)).sum().backward()
    assert logit.grad is not None and (logit.grad.flatten() != 0).tolist() == [False, True, True, False]


def test_unit_input_enters_with_the_noise_itself() -> None:
    """DMD2 at the last timestep, against sigma z of SiD; on EDM, sigma z either way."""
    z = torch.randn(2, *toy.SHAPE)

    def entered(process: Any, prediction: str, t_init: float, unit: bool) -> torch.Tensor:
        denoiser = Denoiser(torch.nn.Identity(), process, prediction)
        return Generator(denoiser, Chain(t_init=t_init, unit_input=unit))._enter(z)

    assert torch.equal(entered(VpDiscrete(), "eps", 999, True), z)
    assert torch.allclose(entered(VpDiscrete(), "eps", 999, False), 0.99767 * z, rtol=1e-5)
    assert torch.allclose(entered(VpDiscrete(), "eps", 625, False), 0.9286 * z, rtol=1e-4)
    for unit in (True, False):
        assert torch.allclose(entered(Edm(), "edm", 80.0, unit), 80 * z)

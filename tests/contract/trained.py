"""What a method does on the toy, through the one training loop: losses, freezing, resume, splits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sid.loop.adam import Adam
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.loop.update import total_loss
from sid.method import Batch, Ema, Method, Player, Progress, Terms
from sid.parallel.settings import FAITHFUL, EngineSettings
from sid.parallel.sharding import whole
from tests import toy
from tests.contract.watched import Around, Nets, Watched, before_each_step, perturbing

BATCH = 8


def toy_options(method: Method) -> Any:
    return method.options("toy", "digits")


def watched(method: Method, around: Around | None = None, still: bool = False) -> Any:
    """The method in its three phases, as something the loop takes for a method."""
    return Watched(method, around, still)


def its_players_fit_its_networks(method: Method, folder: Path) -> None:
    options = toy_options(method)
    nets, players = method.build(options), method.players(options)
    assert "generator" in nets and not {"teacher", "ema"} & set(nets)
    assert len({player.name for player in players}) == len(players) > 0
    for player in players:
        trained = {path.partition(".")[0] for path in player.trains}
        assert trained and trained <= {name for name, net in nets.items() if not isinstance(net, Ema)}
        assert set(player.train_mode) <= {*nets, "teacher"}
        assert player.conditions is None or player.conditions in {other.name for other in players}


def every_player_plays_some_time(method: Method, folder: Path) -> None:
    """Its schedule depends on the progress alone, and a training of usual length reaches it."""
    for player in method.players(toy_options(method)):
        when = [Progress(step, 1000 * step, 10**7) for step in range(10**4)]
        assert any(player.plays(progress) for progress in when), f"{player.name} never plays"
        assert all(player.plays(progress) == player.plays(progress) for progress in when[:100])


def _losses_are_sound(method: Method, folder: Path, dtype: str) -> None:
    """Finite, one number per sample, in float32 at least, in every phase of training."""
    seen = set()

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        terms = player.loss(nets, batch)
        seen.add(player.name)
        assert terms.terms and set(terms.weights) <= set(terms.terms)
        for name, term in {**terms.terms, **terms.health}.items():
            assert term.shape == (BATCH,) and term.dtype == torch.float32, f"{player.name}: {name}"
            assert torch.isfinite(term).all(), f"{player.name}: {name}"
        assert all(isinstance(weight, float | int) for weight in terms.weights.values())
        assert not any(figure.requires_grad for figure in terms.health.values())
        return terms

    options = toy_options(method)
    trained = toy.distil(watched(method, around), options, folder, dtype=dtype)
    assert torch.isfinite(toy.weights(trained)).all()
    taught = torch.cat([parameter.flatten() for parameter in toy.teacher().parameters()])
    assert not torch.equal(toy.weights(trained), taught.to(toy.weights(trained))), "nothing was learned"
    assert seen == {player.name for player in method.players(options)}


def its_losses_are_sound(method: Method, folder: Path) -> None:
    _losses_are_sound(method, folder, "float32")


def its_losses_are_sound_in_bfloat16(method: Method, folder: Path) -> None:
    _losses_are_sound(method, folder, "bfloat16")


def it_needs_only_what_it_declares(method: Method, folder: Path) -> None:
    """Without the real images and pairs that it does not ask for it trains as well."""
    options, offered = toy_options(method), toy.data()
    needs = method.needs_of(options)
    assert needs <= {"real", "pairs", "prompts"}
    given = {name: getattr(offered, name) if name in needs else None for name in ("real", "pairs")}
    recipe = LoopSettings(images=3 * BATCH, batch=BATCH, save_seconds=1e9)
    training = Training(watched(method), options, toy.teacher(), replace(offered, **given), recipe)
    trained = train(training, Execution(folder, quiet=True))
    assert torch.isfinite(toy.weights(trained)).all()


def a_gradient_reaches_only_whom_a_player_trains(method: Method, folder: Path) -> None:
    """Not the teacher, not the critic from the generator's loss, not the generator from the critic's.

    The teacher comes in asking for gradients, so that it is the loop that has to freeze it; every stale gradient is
    removed before each loss, so that what is found at the optimiser's step is that loss's own.
    """
    playing: dict[str, Any] = {}
    taught = toy.teacher().requires_grad_(True)
    own = list(taught.parameters())
    before = [parameter.detach().clone() for parameter in own]

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        for net in nets.values():
            net.zero_grad(set_to_none=True)
        playing.update(player=player.name, nets=nets)
        return player.loss(nets, batch)

    def look(optimiser: Adam) -> None:
        trained = set(map(id, optimiser.parameters))
        assert not trained & set(map(id, own)), f"{playing['player']} trains the teacher"
        moved = 0.0
        for name, net in playing["nets"].items():
            for inner, parameter in net.named_parameters():
                if parameter.grad is not None:
                    assert id(parameter) in trained, f"{playing['player']} sends a gradient into {name}.{inner}"
                    moved += parameter.grad.abs().sum().item()
        assert moved > 0, f"{playing['player']} trains nothing"

    options = toy_options(method)
    with before_each_step(look):
        recipe = LoopSettings(images=6 * BATCH, batch=BATCH, save_seconds=1e9)
        perturbed = watched(method, perturbing(method, options, around))
        train(Training(perturbed, options, taught, toy.data(), recipe), Execution(folder, quiet=True))
    for parameter, old in zip(own, before, strict=True):
        assert torch.equal(parameter, old) and parameter.grad is None


def no_other_player_reaches_the_generator(method: Method, folder: Path) -> None:
    """Even if everything asked for gradients: a critic's images are detached, not merely frozen."""

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        if any(path.startswith("generator") for path in player.trains):
            return player.loss(nets, batch)
        parameters = {id(parameter): parameter for net in nets.values() for parameter in net.parameters()}
        frozen = [parameter for parameter in parameters.values() if not parameter.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(True)
        terms = player.loss(nets, batch)
        generator = list(nets["generator"].parameters())
        found = torch.autograd.grad(total_loss(terms, BATCH), generator, allow_unused=True, retain_graph=True)
        assert all(gradient is None for gradient in found), f"{player.name} reaches the generator"
        for parameter in frozen:
            parameter.requires_grad_(False)
        return terms

    toy.distil(watched(method, around), toy_options(method), folder, images=3 * BATCH)


class Killed(Exception):
    """The process is gone."""


def three_steps_and_a_resume_equal_six(method: Method, folder: Path) -> None:
    """Bit for bit, with dropout on."""
    options = toy_options(method)

    def around(player: Player, nets: Nets, batch: Batch) -> Terms:
        if batch.progress.iteration == 3:
            raise Killed
        return player.loss(nets, batch)

    told: dict[str, Any] = {"dropout": 0.1, "save_seconds": 0.0}
    whole = toy.distil(watched(method), options, folder / "whole", **told)
    with pytest.raises(Killed):
        toy.distil(watched(method, around), options, folder / "cut", **told)
    assert max(path.name for path in (folder / "cut").glob("state-*")) == "state-000000003"
    resumed = toy.distil(watched(method), options, folder / "cut", **told)
    assert torch.equal(toy.weights(whole), toy.weights(resumed))
    assert whole.passes == resumed.passes


# ---------------------------------------------------------------------------------------------------
# Splits.


def every_gradient(
    method: Method, folder: Path, micro_batch: int | None, engine: EngineSettings = FAITHFUL
) -> list[list[Tensor]]:
    """What each player's optimiser is given in float32 at its first steps, one per phase; no weight moves."""
    steps: list[list[Tensor]] = []

    def look(optimiser: Adam) -> None:
        given = [torch.zeros_like(p) if p.grad is None else p.grad for p in optimiser.parameters]
        steps.append([whole(gradient).clone() for gradient in given])

    options = toy_options(method)
    still = watched(method, perturbing(method, options, lambda player, nets, batch: player.loss(nets, batch)), True)
    with before_each_step(look):
        toy.distil(still, options, folder, images=3 * BATCH, micro_batch=micro_batch, engine=engine)
    return steps


def all_splits(
    method: Method, folder: Path, micro_batch: int | None, engine: EngineSettings = FAITHFUL
) -> dict[str, Any]:
    """Six steps of training in float64, and the first gradients in float32."""
    told: dict[str, Any] = {"dtype": "float64", "micro_batch": micro_batch, "engine": engine}
    trained = toy.distil(watched(method), toy_options(method), folder / "float64", **told)
    gradients = every_gradient(method, folder / "float32", micro_batch, engine)
    return {"weights": toy.weights(trained), "gradients": gradients}


def assert_the_same_training(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Weights within 1e-9; each tensor's gradient within 1e-5 of its norm or 1e-7 of the norm of all."""
    assert (one["weights"] - other["weights"]).abs().max() < 1e-9
    assert len(one["gradients"]) == len(other["gradients"]) > 0
    for gradients, others in zip(one["gradients"], other["gradients"], strict=True):
        total = torch.linalg.vector_norm(torch.stack([gradient.norm() for gradient in gradients]))
        assert total > 0
        for gradient, found in zip(gradients, others, strict=True):
            assert (gradient - found).norm() <= max(1e-5 * gradient.norm(), 1e-7 * total)


def the_split_into_micro_batches_changes_nothing(method: Method, folder: Path) -> None:
    """Unless the method says why: then it must be so."""
    whole, split = (all_splits(method, folder / str(size), size) for size in (None, 3))
    if method.split_matters:
        assert (whole["weights"] - split["weights"]).abs().max() > 1e-9, "the split does not matter after all"
    else:
        assert_the_same_training(whole, split)


CHECKS = (
    its_players_fit_its_networks,
    every_player_plays_some_time,
    its_losses_are_sound,
    its_losses_are_sound_in_bfloat16,
    it_needs_only_what_it_declares,
    a_gradient_reaches_only_whom_a_player_trains,
    no_other_player_reaches_the_generator,
    three_steps_and_a_resume_equal_six,
    the_split_into_micro_batches_changes_nothing,
)

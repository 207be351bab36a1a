"""The one loop: resume, splits, processes, freezing, the NaN policy."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from benchmarks.suite.components import methods
from sid.draws import Draws
from sid.fault import Fault
from sid.loop import update
from sid.loop.update import clipped
from sid.method import Batch, Optimiser, Player, Progress, Terms
from sid.nets import materialise
from sid.parallel.engine import Engine
from tests import toy

SID = methods()["sid"]
OPTIONS = SID.options("toy", "digits")


def test_three_steps_and_a_resume_equal_six(tmp_path):
    """Dropout is on: its masks are repeated too."""
    whole = toy.distil(SID, OPTIONS, tmp_path / "whole", dropout=0.1)
    settings = {"images": 48, "batch": 8, "ema_halflife": 50.0, "save_seconds": 0.0}

    class Killed(Exception):
        pass

    def kill(images, generator):
        raise Killed

    from sid.loop.settings import LoopSettings
    from sid.loop.trainer import Execution, Training, train

    with pytest.raises(Killed):
        train(
            Training(SID, OPTIONS, toy.teacher(dropout=0.1), toy.data(), LoopSettings(**settings, observe=(32,))),
            Execution(tmp_path / "cut", (kill,), quiet=True),
        )
    assert [path.name for path in sorted((tmp_path / "cut").glob("state-*"))] == ["state-000000002", "state-000000003"]
    (tmp_path / "cut" / "recipe.json").unlink()  # the observers' counts are part of the recipe
    resumed = toy.distil(SID, OPTIONS, tmp_path / "cut", dropout=0.1)
    assert torch.equal(toy.weights(whole), toy.weights(resumed))


def test_a_recipes_bound_on_gradients_holds_for_every_player(tmp_path, monkeypatch):
    """Adam does not see the scale of a gradient, so that the bound is read off the players."""
    seen, player_states = [], update.player_states

    def spy(players, nets, engine):
        seen.extend(players)
        return player_states(players, nets, engine)

    monkeypatch.setattr(update, "player_states", spy)
    toy.distil(SID, OPTIONS, tmp_path, clip_norm=0.5)
    assert [player.optimiser.clip_norm for player in seen] == [0.5, 0.5]
    player = Player("p", ("p",), lambda nets, batch: Terms({}), Optimiser(1e-3, clip_norm=10.0))
    assert clipped(player, None) is player and clipped(player, 0.5).optimiser == Optimiser(1e-3, clip_norm=0.5)


@pytest.mark.parametrize("micro_batch", [1, 3, 8])
def test_the_split_into_micro_batches_changes_nothing(tmp_path, micro_batch):
    whole = toy.distil(SID, OPTIONS, tmp_path / "whole", dtype="float64")
    split = toy.distil(SID, OPTIONS, tmp_path / "split", dtype="float64", micro_batch=micro_batch)
    assert (toy.weights(whole) - toy.weights(split)).abs().max() < 1e-9


def test_two_processes_train_as_one(tmp_path):
    alone = toy.distil(SID, OPTIONS, tmp_path / "one", dtype="float64")
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from pathlib import Path
            import torch
            from benchmarks.suite.components import methods
            from tests import toy

            folder = Path(sys.argv[1])
            method = methods()["sid"]
            trained = toy.distil(method, method.options("toy", "digits"), folder / "two", dtype="float64")
            torch.save(toy.weights(trained), folder / "two.pt")
            """
        )
    )
    run_on_two(script, tmp_path)
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    assert (toy.weights(alone) - two).abs().max() < 1e-9


def run_on_two(script: Path, folder: Path) -> None:
    """A worker script on two gloo processes, meeting at a file: no port is taken."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [*command, str(folder)], cwd=root, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_changed_recipe_refuses_an_old_state(tmp_path):
    toy.distil(SID, OPTIONS, tmp_path)
    with pytest.raises(Fault, match="another recipe"):
        toy.distil(SID, SID.options("toy", "digits", {"alpha": 1.0}), tmp_path)


def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, capfd):
    whole = toy.distil(SID, OPTIONS, tmp_path / "a", save_seconds=0.0)
    again = toy.distil(SID, OPTIONS, tmp_path / "b", save_seconds=0.0)
    newest = max((tmp_path / "b").glob("state-*"))
    victim = max((file for file in newest.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    again = toy.distil(SID, OPTIONS, tmp_path / "b", save_seconds=0.0)
    assert "damaged" in capfd.readouterr().err
    assert torch.equal(toy.weights(whole), toy.weights(again))


def test_a_torn_state_is_never_read(tmp_path):
    (tmp_path / ".state-000000009.tmp").mkdir(parents=True)
    (tmp_path / "state-000000009").mkdir()
    whole = toy.distil(SID, OPTIONS, tmp_path)
    assert whole.images == 48 and torch.isfinite(toy.weights(whole)).all()


def state_of(loss, nets, trains=("generator",)):
    return update.player_states((Player("generator", trains, loss, Optimiser(1e-3)),), nets)[0]


def nets_of(method=SID, options=OPTIONS):
    return materialise(method.build(options), toy.teacher(), seed=0)


def batch_of(progress=None, size=8):
    draws = Draws(0, 0, range(size), "generator")
    data = toy.data()
    return Batch(draws, data.conditions.draw(draws), progress or Progress(), toy.SHAPE, torch.empty(0), size=size)


def test_a_nan_sample_costs_its_own_term_only():
    """The denominator stays; the gradient is that of the other samples."""
    loss = SID.players(OPTIONS)[1].loss
    nets = nets_of()
    for parameter in nets["critic"].parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    poisoned = dict(nets)
    rows = torch.arange(8) == 3

    class Poisoned(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.process = inner, inner.process

        def forward(self, *args, **kwargs):
            from dataclasses import replace

            prediction = self.inner(*args, **kwargs)
            return replace(prediction, x0=torch.where(rows.view(-1, 1, 1, 1), float("nan"), prediction.image))

    poisoned["teacher"] = Poisoned(nets["teacher"])
    state = state_of(loss, nets)
    update.set_modes(nets, state)
    update.total_loss(loss(poisoned, batch_of()), 8).backward()
    prediction = [parameter.grad.clone() for parameter in state.parameters]

    for parameter in state.parameters:
        parameter.grad = None
    terms = loss(nets, batch_of())
    masked = Terms({"sid": torch.where(rows, 0.0, terms.terms["sid"])}, terms.weights)
    update.total_loss(masked, 8).backward()
    for gradient, parameter in zip(prediction, state.parameters, strict=True):
        assert torch.isfinite(gradient).all()
        assert torch.allclose(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_bad_gradients_become_zero_or_large():
    nets = nets_of()

    def loss(nets, batch):
        first = next(nets["generator"].parameters())
        return Terms({"x": (first.sum() * torch.tensor([float("inf")]))})

    state = state_of(loss, nets)
    update.play(state, nets, [batch_of()], Engine(), Progress(), seed=0)
    gradients = [parameter.grad for parameter in state.parameters if parameter.grad is not None]
    assert gradients and all((gradient == 1e5).all() for gradient in gradients)


def test_a_critic_that_never_trained_leaves_the_generator_the_teacher(tmp_path):
    """Teacher and critic cancel exactly: Adam without a first moment would turn their rounding into full steps."""
    trained = toy.distil(SID, OPTIONS, tmp_path, stop_players={"critic": 0.0}, ema_halflife=1e-6)
    taught = torch.cat([parameter.flatten() for parameter in toy.teacher().parameters()])
    assert torch.equal(toy.weights(trained), taught)


def test_observers_are_called_at_their_counts_and_the_curve_is_kept(tmp_path):
    from sid.loop.settings import LoopSettings
    from sid.loop.trainer import Execution, Training, train

    seen = []

    def observe(images, generator):
        seen.append(images)
        assert not generator.training
        return {"score": float(images)}

    settings = LoopSettings(images=48, batch=8, observe=(16, 48), save_seconds=1e9)
    training, execution = Training(SID, OPTIONS, toy.teacher(), toy.data(), settings), Execution(tmp_path, (observe,))
    trained = train(training, execution)
    assert seen == [16, 48] and trained.curve == [{"images": 16, "score": 16.0}, {"images": 48, "score": 48.0}]
    again = train(training, execution)
    assert again.curve == trained.curve and seen == [16, 48]


def test_the_log_tells_what_the_loss_does_not(tmp_path):
    toy.distil(SID, OPTIONS, tmp_path, log_images=16)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["images"] for row in rows] == [16, 32, 48]
    assert {"sid", "teacher-critic", "update-norm", "gradient-norm", "dropped"} <= set(rows[0]["players"]["generator"])
    assert any(name.startswith("noise-bin") for name in rows[0]["players"]["critic"])


def test_passes_are_counted_in_samples(tmp_path):
    """SiD: G + critic in the critic's step, G + teacher + critic in the generator's: 5 forward passes an image."""
    assert toy.distil(SID, OPTIONS, tmp_path).passes == 5 * 48


def test_a_distilled_generator_is_where_training_begins(tmp_path):
    """SiD2A: generator and average begin distilled, the critic as the teacher."""
    from sid.generator import Generator
    from sid.loop.settings import LoopSettings
    from sid.loop.trainer import Execution, Training, train

    start = Generator(toy.teacher(seed=5))
    settings = LoopSettings(images=48, batch=8, stop_players={"critic": 0.0, "generator": 0.0}, save_seconds=1e9)
    training = Training(SID, OPTIONS, toy.teacher(), toy.data(), settings, start=start)
    trained = train(training, Execution(tmp_path, quiet=True))
    assert torch.equal(toy.weights(trained), torch.cat([p.flatten() for p in start.parameters()]))

"""What may happen to a state: a full disk, a folder that can't be written, damage, a second trainer, a late player."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.suite.components import methods
from sid import generator
from sid.fault import Fault
from sid.generator import Generator
from sid.loop import lock, state
from sid.method import Player
from sid.teachers.mlp import Mlp
from tests import toy

SID = methods()["sid"]
OPTIONS = SID.options("toy", "digits")


def distil(folder: Path, **message: Any) -> torch.Tensor:
    return toy.weights(toy.distil(SID, OPTIONS, folder, save_seconds=0.0, **message))


def sentence(folder: Path) -> str:
    with pytest.raises(Fault) as caught:
        distil(folder)
    (message,) = caught.value.sentences
    assert "\n" not in message
    return message


@pytest.fixture(params=["at once", "meanwhile"])
def writing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small states are written at once, large ones by a thread."""
    if request.param == "meanwhile":
        monkeypatch.setattr(state, "SYNCHRONOUS_BYTES", 0)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A real refusal of the kernel, in the middle of a file."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.usefixtures("writing")
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(tmp_path: Path) -> None:
    whole = distil(tmp_path / "whole")
    with no_file_above(3000):
        message = sentence(tmp_path / "full")
    assert f"{tmp_path / 'full'} can't be written (File too large)" in message
    assert not list((tmp_path / "full").glob(".state*")), "what was half written takes the room that is missing"
    assert torch.equal(whole, distil(tmp_path / "full"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk, or be somebody else for a while")
def test_a_full_small_disk(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    if os.system(f"mount -t tmpfs -o size=96k tmpfs {place} 2>/dev/null"):
        pytest.skip("this container may not mount")
    try:
        assert "can't be written (No space left on device)" in sentence(place)
    finally:
        assert os.system(f"umount {place}") == 0, "a file is still open"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else for a while")
def test_a_folder_that_may_not_be_written_is_one_sentence() -> None:
    root = Path(tempfile.mkdtemp())
    root.chmod(0o555)
    os.seteuid(65534)
    try:
        assert f"{root / 'mine'} can't be written (Permission denied)" in sentence(root / "mine")
    finally:
        os.seteuid(0)
        shutil.rmtree(root)


@pytest.mark.usefixtures("writing")
def test_a_state_written_meanwhile_holds_what_was_then(tmp_path: Path) -> None:
    whole = distil(tmp_path / "a")
    for newest in sorted((tmp_path / "a").glob("state-*"))[1:]:
        shutil.rmtree(newest)
    assert torch.equal(whole, distil(tmp_path / "a"))


def largest(folder: Path) -> Path:
    newest = max(folder.glob("state-*"))
    return max((file for file in newest.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_truncated_state_falls_back_to_the_one_before(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    whole = distil(tmp_path)
    file = largest(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    assert torch.equal(whole, distil(tmp_path))
    assert "falling back to the state before it" in capfd.readouterr().err


def test_a_damaged_final_state_is_replaced(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """Once: the next call finds it whole, and has nothing to train."""
    whole = distil(tmp_path)
    file = largest(tmp_path)
    flip(file)
    damaged = file.read_bytes()
    assert torch.equal(whole, distil(tmp_path))
    assert "falling back to the state before it" in capfd.readouterr().err
    assert file.read_bytes() != damaged
    assert torch.equal(whole, distil(tmp_path))
    assert "damaged" not in capfd.readouterr().err


def test_without_a_whole_state_training_begins_anew(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    whole = distil(tmp_path)
    for folder in tmp_path.glob("state-*"):
        flip(folder / "counters.json")
    assert torch.equal(whole, distil(tmp_path))
    message = [line for line in capfd.readouterr().err.splitlines() if "damaged" in line]
    assert len(message) == 2 and message[1].endswith("no state is left, training begins anew")


def test_a_flipped_bit_in_a_generator_is_found(tmp_path: Path) -> None:
    settings = {"shape": toy.SHAPE, "width": 16, "depth": 2, "classes": toy.CLASSES}
    generator.save(Generator(toy.teacher()), tmp_path)
    assert torch.equal(toy_weights(generator.load(tmp_path, Mlp().build(settings))), toy_weights(toy.teacher()))
    flip(tmp_path / "generator.safetensors")
    with pytest.raises(Fault, match=r"generator\.safetensors is damaged"):
        generator.load(tmp_path, Mlp().build(settings))


def toy_weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in module.parameters()])


def test_a_second_trainer_names_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.locked.__wrapped__, "__defaults__", (0.3,))  # type: ignore[attr-defined]
    with open(tmp_path / "run-0.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("process 42 on another-machine")
        other.flush()
        assert sentence(tmp_path) == f"{tmp_path} is in use by process 42 on another-machine"
    distil(tmp_path)


def test_a_state_before_a_players_first_turn_changes_nothing(tmp_path: Path) -> None:
    """Saved or not, its optimiser counts from its own first step; so it does after a resume."""

    class Late(type(SID)):  # type: ignore[misc]
        def players(self, options: Any) -> tuple[Player, ...]:
            critic, player = super().players(options)
            return critic, replace(player, plays=lambda progress: progress.iteration >= 3)

    late = Late()
    never = toy.weights(toy.distil(late, OPTIONS, tmp_path / "never", save_seconds=1e9))
    often = toy.weights(toy.distil(late, OPTIONS, tmp_path / "often", save_seconds=0.0))
    assert torch.equal(never, often)
    for keep in (2, 4):
        place = tmp_path / f"cut-{keep}"

        def stop(images: int, student: Any) -> dict[str, float]:
            raise KeyboardInterrupt

        from sid.loop.settings import LoopSettings
        from sid.loop.trainer import Execution, Training, train

        settings = LoopSettings(images=48, batch=8, ema_halflife=50.0, save_seconds=0.0, observe=(8 * (keep + 1),))
        with pytest.raises(KeyboardInterrupt):
            train(Training(late, OPTIONS, toy.teacher(), toy.data(), settings), Execution(place, (stop,), quiet=True))
        resumed = train(Training(late, OPTIONS, toy.teacher(), toy.data(), settings), Execution(place, quiet=True))
        assert torch.equal(never, toy.weights(resumed))


@pytest.mark.parametrize(("free", "why"), [(0, "No space left on device"), (2**40, "unexpected pos 704 vs 598")])
def test_a_full_disk_is_named_where_torch_does_not(
    free: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from sid import atomic

    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    fault = atomic.unwritable(tmp_path / "not" / "there", RuntimeError("unexpected pos 704 vs 598\nat ..."))
    assert f"({why})" in fault.sentences[0]

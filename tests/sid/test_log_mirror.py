"""The log's second copy: only if asked, in sentences if it can't be."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from sid.fault import Fault
from sid.loop import log as log_module
from sid.loop.log import Log

ROW = {
    "images": 64,
    "seconds": 1.5,
    "players": {"critic": {"loss": 0.5, "noise": {"low": 1}}, "generator": {"sid": -2.0}},
}
FLAT = {"critic/loss": 0.5, "critic/noise/low": 1.0, "generator/sid": -2.0}


def test_nothing_is_asked_for_and_nothing_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(log_module.MIRROR_ENV, raising=False)
    log = Log(tmp_path / "log.jsonl", 0)
    log.write(ROW)
    assert log.mirror is None and [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_wandb_gets_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fake = types.ModuleType("wandb")
    run = types.SimpleNamespace(log=lambda row, step: calls.append((row, step)))
    fake.init = lambda **given: calls.append(given) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv(log_module.MIRROR_ENV, "wandb")
    Log(tmp_path / "log.jsonl", 0).write(ROW)
    assert calls[0]["project"] == "sidbench" and calls[0]["resume"] == "allow"
    assert calls[1] == ({"images": 64, **FLAT}, 64)


def test_tensorboard_gets_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Writer:
        def __init__(self, folder: str):
            calls.append(folder)

        def add_scalar(self, name: str, value: float, images: int) -> None:
            calls.append((name, value, images))

        def flush(self) -> None:
            calls.append("flushed")

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    monkeypatch.setenv(log_module.MIRROR_ENV, "tensorboard")
    Log(tmp_path / "log.jsonl", 0).write(ROW)
    assert calls == [str(tmp_path / "tensorboard"), *((name, value, 64) for name, value in FLAT.items()), "flushed"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [("tensorbord", "did you mean 'tensorboard'"), ("wandb", "needs the package 'wandb': pip install wandb")],
)
def test_what_can_not_be_is_told(asked: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setenv(log_module.MIRROR_ENV, asked)
    with pytest.raises(Fault, match=sentence):
        Log(tmp_path / "log.jsonl", 0)

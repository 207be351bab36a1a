"""On a CUDA device: the CPU's training, no waiting for the device within an iteration, every option of the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.suite.components import methods
from sid.condition import Unconditional
from sid.generator import Generator
from sid.loop.trainer import _Run
from sid.parallel.settings import EngineSettings
from sid.sampling import from_generator, generate
from tests import toy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
SETTINGS = (
    EngineSettings(precision="bf16", channels_last=True, first_moment=False),
    EngineSettings(precision="bf16", checkpointing=True, split_backward=True, eight_bit=True),
    EngineSettings(compile=True, precision="bf16"),
    EngineSettings(precision="bf16", offload=True),
)


def weights(name: str, folder: Path, **given: Any) -> torch.Tensor:
    method = methods()[name]
    return toy.weights(toy.distil(method, method.options("toy", "digits"), folder, **given)).cpu()


@pytest.mark.parametrize("name", sorted(methods()))
def test_a_training_is_the_cpus(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = weights(name, tmp_path / "there", dtype="float64")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = weights(name, tmp_path / "here", dtype="float64")
    assert (here - there).abs().max() < 1e-6


@pytest.mark.parametrize("name", sorted(methods()))
def test_no_iteration_waits(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Micro-batches, averages and optimisers included; the first iteration sets things up and may wait."""
    original = _Run.iterate

    def iterate(run: Any, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("error" if run.state.counters.iteration else "default")
        try:
            original(run, *args)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(_Run, "iterate", iterate)
    weights(name, tmp_path, images=4 * 8, micro_batch=4, log_images=10**9)


def test_moments_in_the_cpus_memory_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.loop.adam.SMALLEST", 32)
    away = weights("sid", tmp_path / "away", engine=EngineSettings(offload=True))
    assert torch.equal(away, weights("sid", tmp_path / "there"))


def test_pictures_are_the_cpus() -> None:
    """The last batches too, which are copied while the next one is computed."""
    generator = Generator(toy.teacher(conditional=False))
    here, there = (
        generate(from_generator(generator.to(device)), Unconditional(), toy.SHAPE, range(10), 0, 3, device)
        for device in ("cpu", "cuda")
    )
    assert here.shape == there.shape and abs(here.astype(int) - there.astype(int)).max() <= 1


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_option_trains(settings: EngineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.loop.adam.SMALLEST", 32)
    assert torch.isfinite(weights("sid", tmp_path, engine=settings)).all()

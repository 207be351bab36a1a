"""Four processes: two copies of every network, each sharded over two; and overlapped sums of more than two numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sid.fault import Fault
from sid.parallel.engine import SHARDS, Engine
from sid.parallel.settings import EngineSettings, Footprint
from tests import toy
from tests.sid import families, two_engines
from tests.sid.four_engines import CASES
from tests.sid.test_engines import ROOT, apart, norms
from tests.sid.two_engines import CLIPPED, DMD2, DOUBLE, SID, options

Results = list[dict[Any, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    """What each of four processes saw, in one launch."""
    if not SHARDS:
        pytest.skip("this torch is too old to shard networks")
    families.prepare(folder)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "tests.sid.four_engines", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(folder / f"results-{rank}.pt", weights_only=True) for rank in range(4)]


@pytest.mark.slow
def test_all_four_end_with_the_same(results: Results) -> None:
    assert results[0]["mesh"] == ["(2, 2)"]
    for name, value in results[0].items():
        for other in results[1:]:
            assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name], name


@pytest.mark.slow
def test_they_train_as_one_process_does(results: Results, tmp_path: Path) -> None:
    alone = toy.weights(toy.distil(SID, options(SID), tmp_path / "one", **DOUBLE))
    assert apart(results[0]["whole"], alone) < 1e-9
    bad = toy.weights(toy.distil(two_engines.poisoned(SID), options(SID), tmp_path / "poisoned", **DOUBLE))
    assert apart(results[0]["poisoned"], bad) < 1e-9


@pytest.mark.slow
def test_states_are_gone_on_from(results: Results, folder: Path) -> None:
    """By the four bit for bit, by one process to rounding."""
    assert torch.equal(results[0]["whole"], results[0]["resumed"])
    resumed = toy.distil(SID, options(SID), folder / "cut-for-one", save_seconds=0.0, **DOUBLE)
    assert apart(toy.weights(resumed), results[0]["whole"]) < 1e-6


@pytest.mark.slow
def test_norms_count_each_shard_once(results: Results, folder: Path, tmp_path: Path) -> None:
    alone = toy.distil(DMD2, options(DMD2, CLIPPED), tmp_path, log_images=8, **DOUBLE)
    assert apart(toy.weights(alone), results[0]["clipped"]) < 1e-9
    for here, there in zip(norms(tmp_path), norms(folder / "clipped"), strict=True):
        assert here == pytest.approx(there, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_real_networks_train_alike_in_copies(results: Results, folder: Path, tmp_path: Path, case: str) -> None:
    assert apart(families.distil(case, folder, tmp_path), results[0][case]) < 1e-9


@pytest.mark.slow
def test_overlapped_sums_of_four_differ_by_rounding(results: Results) -> None:
    assert apart(results[0]["overlap"], results[0]["ddp"]) < 1e-12


def test_a_copy_is_divided_by_the_processes_that_share_it() -> None:
    sizes = Footprint(frozen=100, trained=(100, 100), momentless=(100, 100), averaged=100)
    whole = sizes.bytes_each(EngineSettings("ddp"), 8)
    assert sizes.bytes_each(EngineSettings("fsdp2"), 8) == whole / 8
    assert sizes.bytes_each(EngineSettings("fsdp2", shard_over=4), 8) == whole / 4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (EngineSettings("fsdp2", shard_over=-1), "engine shard_over must be 0 or a number of processes (got -1)"),
        (EngineSettings("ddp", shard_over=2), "engine shard_over shares networks under strategy fsdp2 (got 'ddp')"),
        (EngineSettings("fsdp2", overlap=True), "engine overlap is ddp's"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: EngineSettings, sentence: str) -> None:
    with pytest.raises(Fault) as caught:
        Engine.here(settings)
    (said,) = caught.value.sentences
    assert said.startswith(sentence)


def test_copies_lie_on_equally_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "6")
    with pytest.raises(Fault, match="engine shard_over=4 doesn't divide 6 processes"):
        Engine.here(EngineSettings("fsdp2", shard_over=4), "cpu")

"""Single, data parallel and sharded training: states that move between them, norms, masks, adapters, faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sid.parallel.engine import SHARDS
from tests import toy
from tests.sid import families, two_engines
from tests.sid.two_engines import CLIPPED, DMD2, DOUBLE, SID, STRATEGIES, options

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SHARDS, reason="this torch is too old to shard networks")]
Found = list[dict[Any, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module")
def results(folder: Path) -> Found:
    """What each of two processes found: all claims in one launch. Both start from states of one process, too."""
    families.prepare(folder)
    for strategy in STRATEGIES:
        two_engines.interrupted(SID, folder / f"one-for-{strategy}", **DOUBLE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, "-m", "tests.sid.two_engines", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return [torch.load(folder / f"found-{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def single(folder: Path) -> torch.Tensor:
    """Six steps of one process."""
    return toy.weights(toy.distil(SID, options(SID), folder / "one", **DOUBLE))


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def test_both_processes_end_with_the_same(results: Found) -> None:
    for name, value in results[0].items():
        same = torch.equal(value, results[1][name]) if isinstance(value, torch.Tensor) else value == results[1][name]
        assert same, name


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_three_steps_and_a_resume_equal_six_bit_for_bit(results: Found, strategy: str) -> None:
    assert torch.equal(results[0][strategy, "whole"], results[0][strategy, "resumed"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_state_written_meanwhile_is_the_same_state(results: Found, strategy: str) -> None:
    assert torch.equal(results[0][strategy, "whole"], results[0][strategy, "in threads"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_saved_on_two_and_resumed_on_one(results: Found, folder: Path, single: torch.Tensor, strategy: str) -> None:
    place = folder / strategy / "cut-for-one"
    resumed = toy.distil(SID, options(SID), place, save_seconds=0.0, **DOUBLE)
    assert apart(toy.weights(resumed), single) < 1e-6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_saved_on_one_and_resumed_on_two(results: Found, single: torch.Tensor, strategy: str) -> None:
    assert apart(results[0][strategy, "from one"], single) < 1e-6


def test_a_state_changes_its_strategy(results: Found, single: torch.Tensor) -> None:
    assert apart(results[0]["fsdp2", "from ddp"], single) < 1e-6
    assert apart(results[0]["ddp", "from fsdp2"], single) < 1e-6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_norms_are_of_all_shards(results: Found, folder: Path, tmp_path: Path, strategy: str) -> None:
    """Clipping bites in every step; the log tells the norms of the whole."""
    alone = toy.distil(DMD2, options(DMD2, CLIPPED), tmp_path, log_images=8, **DOUBLE)
    assert apart(toy.weights(alone), results[0][strategy, "clipped"]) < 1e-9
    for here, there in zip(norms(tmp_path), norms(folder / strategy / "clipped"), strict=True):
        assert here == pytest.approx(there, rel=1e-6)


def norms(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line)["players"] for line in (folder / "log.jsonl").read_text().splitlines()]
    numbers = [figures for row in rows for figures in row.values()]
    clipped = [figures["gradient-norm"] / CLIPPED["clip_norm"] for figures in numbers]
    assert max(clipped) == pytest.approx(1, rel=1e-2)
    return [{name: figures[name] for name in ("gradient-norm", "update-norm")} for figures in numbers]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_bad_sample_costs_itself_only(results: Found, tmp_path: Path, strategy: str) -> None:
    alone = toy.distil(two_engines.poisoned(SID), options(SID), tmp_path, **DOUBLE)
    assert apart(toy.weights(alone), results[0][strategy, "poisoned"]) < 1e-9


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_recomputed_blocks_train_the_same(results: Found, strategy: str) -> None:
    assert torch.equal(results[0][strategy, "again"], results[0][strategy, "whole"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_coded_moments_train_near_and_resume_bit_for_bit(results: Found, strategy: str) -> None:
    assert torch.equal(results[0][strategy, "coded"], results[0][strategy, "coded and cut"])
    steps = 6 * SID.options("toy", "digits").lr_generator
    assert 0 < apart(results[0][strategy, "coded"], results[0][strategy, "whole"]) < 0.5 * steps


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_moments_in_the_cpus_memory_change_no_bit(results: Found, strategy: str) -> None:
    assert torch.equal(results[0][strategy, "away"], results[0][strategy, "whole"])
    assert torch.equal(results[0][strategy, "away and cut"], results[0][strategy, "whole"])


def test_overlapped_sums_of_two_change_no_bit(results: Found) -> None:
    assert torch.equal(results[0]["overlapped"], results[0]["summed at the end"])


@pytest.mark.parametrize("case", families.CASES)
def test_real_networks_train_alike_in_shards(results: Found, folder: Path, tmp_path: Path, case: str) -> None:
    assert apart(families.distil(case, folder, tmp_path), results[0][case]) < 1e-9


@pytest.mark.parametrize("case", families.HALVED)
def test_every_saving_at_once_trains_near(results: Found, case: str) -> None:
    """Shards, bfloat16, recomputation and no first moment together: two steps of 1e-6 apart at most, each way."""
    assert 0 < apart(results[0]["half", case], results[0][case]) < 2 * 2 * 2e-6


def test_adapters_over_the_teacher_train_in_shards(results: Found) -> None:
    assert results[0]["adapters"] > 0


@pytest.mark.parametrize("how", ["at once", "meanwhile"])
def test_a_full_disk_of_the_first_process_is_everybodys_sentence(results: Found, how: str) -> None:
    assert "can't be written (No space left on device)" in results[0][how]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bfloat16_is_near(results: Found, single: torch.Tensor, strategy: str) -> None:
    """Not equal: six steps of Adam without a first moment, a step of 5e-4 each."""
    assert 0 < apart(results[0][strategy, "bf16"], single) < 2 * 6 * 5e-4

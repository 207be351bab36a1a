"""`sidbench` under torchrun: two processes train, the first alone writes and talks, both leave on a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.cli import main
from benchmarks.machine.launch import torchrun
from benchmarks.run.prepare import prepare
from benchmarks.suite.plan import load_plan
from sid.parallel.engine import SHARDS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAUNCH = [*torchrun(), "--standalone", "--nproc-per-node=2", "-m", "benchmarks"]
RUN = "digits-cond/sid/0"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke suite's teacher and extractor."""
    folder = tmp_path_factory.mktemp("results")
    plan = load_plan("smoke", str(folder))
    for job in [*plan.of("teacher"), *plan.of("extractor")]:
        prepare(job, "made by a test", quiet=True)
    return folder


def teacher(results: Path) -> Path:
    return load_plan("smoke", str(results)).of("teacher")[0].folder


STRATEGY = "fsdp2" if SHARDS else "ddp"


def train(results: Path, out: Path, *more: str) -> list[str]:
    return ["train", "sid", "--teacher", str(teacher(results)), "--out", str(out), *more]


def on_two(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen([*LAUNCH, *arguments], cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_write_and_talk_once(results: Path, tmp_path: Path) -> None:
    budget = ["--images", "1024"]
    process = on_two(*train(results, tmp_path / "two", *budget, "--engine", f"strategy={STRATEGY}"))
    printed, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, wrong
    assert len(printed.splitlines()) == 1 and "1024 images in" in printed
    assert main(train(results, tmp_path / "one", *budget)) == 0
    single, two = (load_file(tmp_path / name / "generator.safetensors") for name in ("one", "two"))
    assert single.keys() == two.keys()
    for name, weight in single.items():
        assert (weight - two[name]).abs().max() < 1e-3, name  # four steps of 5e-4 where rounding turns one around
    assert sum(path.name.startswith("run-") for path in (tmp_path / "two" / "state").iterdir()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_and_one_process_goes_on(number: signal.Signals, results: Path, tmp_path: Path) -> None:
    """torchrun hands it to both; what two of them saved one resumes to the end."""
    command = train(results, tmp_path, "--images", "40960", "--engine", f"strategy={STRATEGY}")
    process = on_two(*command)
    log = tmp_path / "state" / "log.jsonl"
    deadline = time.monotonic() + 200
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    _, wrong = process.communicate(timeout=120)
    assert process.returncode != 0 and wrong.count("the same command goes on from it") == 1, wrong
    state = max((tmp_path / "state").glob("state-*"))
    images = json.loads((state / "counters.json").read_text())["images"]
    assert 0 < images < 40_960
    assert main(train(results, tmp_path, "--images", "40960")) == 0
    assert torch.isfinite(
        torch.cat([w.flatten() for w in load_file(tmp_path / "generator.safetensors").values()])
    ).all()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--engine", "strategy=dpp"], "engine strategy must be one of auto, single, ddp, fsdp2 (got 'dpp')"),
        (["--engine", "precison=bf16"], "did you mean 'precision'?"),
        (["--engine", "compile=maybe"], "--engine compile: must be true or false (got 'maybe')"),
        (["--engine", "fsdp2"], "--engine takes NAME=VALUE (got 'fsdp2')"),
    ],
)
def test_a_mistake_gets_a_sentence(
    more: list[str], sentence: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert main(train(results, tmp_path / "run", *more)) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_mistake_is_said_by_the_first_process(
    rank: str, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    assert main(train(results, tmp_path, "--engine", "fsdp2")) == 2
    assert bool(capsys.readouterr().err) == (rank == "0")


def test_a_run_of_a_suite_is_scored_once(results: Path) -> None:
    process = on_two("--results", str(results), "run", "smoke", RUN, "--quiet")
    printed, wrong = process.communicate(timeout=300)
    assert process.returncode == 0, wrong
    folder = load_plan("smoke", str(results)).find("run", RUN).folder
    assert json.loads((folder / "scores.json").read_text())["metrics"]
    assert (folder / "record.json").exists() and not printed.strip()

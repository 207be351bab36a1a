"""Two rows of a suite, the second from the first, as `sidbench` runs them."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from benchmarks.run import prepare, runner
from benchmarks.suite.plan import Plan, load_plan
from sid import stages
from sid.fault import Fault
from tests.contract.two_processes import STRATEGIES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SUITE = """
name: two-stages
extends: smoke
teachers: {digits-cond: {training: {images: 2_560}}}
tasks: {digits-cond: {budget: {images: 1_024, observe: 0}}}
entries:
  teacher: null
  sid: null
  dmd: null
  untrained: null
  first: {method: dmd2, options: {ratio: 1, gan_generator: 0.0, gan_critic: 0.0}}
  second: {method: dmd2, options: {ratio: 1}, init: first}
"""


def test_the_second_row_reads_what_the_first_left(tmp_path: Path) -> None:
    """Before the first has left it, the second says what to run; run again, the first trains nothing anew."""
    (tmp_path / "two-stages.yaml").write_text(SUITE)
    plan: Plan = load_plan(str(tmp_path / "two-stages.yaml"), str(tmp_path / "results"))
    for job in plan.jobs:
        if job.kind in ("teacher", "extractor"):
            prepare.prepare(job, "made by a test", quiet=True)
    first, second = (plan.find("run", f"digits-cond/{name}/0") for name in ("first", "second"))
    runner.run(first, plan, "made by a test", quiet=True)
    left = first.folder / stages.FILE
    weights, record = left.read_bytes(), json.loads((first.folder / "record.json").read_text())
    left.unlink()
    with pytest.raises(Fault, match="sidbench run SUITE digits-cond/first/0"):
        runner.run(second, plan, "made by a test", quiet=True)
    runner.run(first, plan, "made by a test", quiet=True)
    again = json.loads((first.folder / "record.json").read_text())
    assert left.read_bytes() == weights and again["network_passes"] == record["network_passes"]
    runner.run(second, plan, "made by a test", quiet=True)
    assert not (second.folder / stages.FILE).exists(), "nothing goes on from the second"
    assert (second.folder / "scores.json").exists() and first.digest != second.digest


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_leave_what_one_leaves(strategy: str, tmp_path: Path) -> None:
    """Whole tensors, whatever they were cut into."""
    script = tmp_path / "worker.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            import torch
            from benchmarks.suite.components import methods
            from sid.loop.settings import LoopSettings
            from sid.loop.trainer import Execution, Training, train
            from sid.parallel.settings import EngineSettings
            from tests import toy

            method, folder = methods()["dmd2"], Path({str(tmp_path)!r})
            settings = LoopSettings(images=24, batch=8, save_seconds=1e9, dtype="float64")
            options = method.options("toy", "digits", {{"ratio": 1}})
            training = Training(method, options, toy.teacher(dtype=torch.float64), toy.data(), settings)
            world = torch.distributed.is_torchelastic_launched()
            engine = EngineSettings(strategy={strategy!r} if world else "auto")
            place = folder / ("two" if world else "one")
            done = train(training, Execution(place, engine=engine, quiet=True, leaves=("critic", "head")))
            torch.save(done.networks, place.with_suffix(".pt"))
            """
        )
    )
    words = {
        "one": [sys.executable, str(script)],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)],
    }
    for command in words.values():
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert (tmp_path / "one.pt").exists() and (done.returncode == 0 or "done: the first" in done.stderr), (
            done.stderr
        )
    one, two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in words)
    for name, state in one.items():
        for key, value in state.items():
            assert (two[name][key] - value).abs().max() < 1e-9, f"{name}.{key}"

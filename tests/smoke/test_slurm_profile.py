"""What the slurm profile asks of sbatch: rendered by the plugin itself, caught by an sbatch that refuses every job."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.suite.job import SHARED_KINDS
from benchmarks.suite.plan import load_plan

pytest.importorskip("snakemake_executor_plugin_slurm", reason="snakemake-executor-plugin-slurm is not installed")

ROOT = Path(__file__).parents[2]
SUITE = {
    "name": "clustered",
    "extends": "smoke",
    "tasks": {
        "digits-cond": None,
        **{
            name: {"teacher": "digits-cond", "protocol": "digits", "budget": {"images": 512}, "machine": machine}
            for name, machine in {
                "one-node": {"gpus": 8, "memory_gb": 200, "hours": 24},
                "two-nodes": {"gpus": 8, "nodes": 2, "memory_gb": 200, "hours": 24},
                "no-gpu": {},
            }.items()
        },
    },
    "entries": {"dmd": None, "teacher": None},
}
# Everything that names a place or a number of its own run, and what is run, is left out.
OWN = ("--job-name", "--output", "--comment", "-D", "-p", "-A", "--wrap")
CLUSTER = {
    "sbatch": 'printf "%s\\n" "sbatch $*" >> "$CALLS"; echo refused >&2; exit 1',
    "scontrol": 'echo "MinJobAge = 300 sec"',
    "sinfo": "echo 'all*'",
    "squeue": "true",
    "sacct": "true",
    "sacctmgr": "true",
}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """rule and task -> the geometry that was asked for."""
    place = tmp_path_factory.mktemp("cluster")
    (place / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    tools = place / "tools"
    tools.mkdir()
    for name, does in CLUSTER.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    plan = load_plan(str(place / "suite.yaml"), str(place / "results"))
    for job in plan.jobs:
        for path in map(Path, job.outputs if job.kind in SHARED_KINDS else ()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--retries", "0"]
    words += ["--slurm-init-seconds-before-status-checks", "1"]
    words += ["--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm")]
    words += ["--config", "suite=suite.yaml", "results=results"]
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(place / "calls")}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
    assert (place / "calls").is_file(), done.stdout + done.stderr
    found = {}
    for line in (place / "calls").read_text().splitlines():
        if said := re.search(r"--comment (rule_\w+?)_wildcards_(\S+)", line):
            found[f"{said[1]} {said[2]}"] = _geometry(line)
    return found


def _geometry(line: str) -> list[str]:
    words, kept = shlex.split(line.partition(" --wrap=")[0])[1:], []
    while words:
        word = words.pop(0)
        if word in OWN:
            words.pop(0)
        elif word in ("-t", "--mem"):
            kept.append(f"{word} {words.pop(0)}")
        else:
            kept.append(word)
    return kept


SAME = ["--parsable", "--export=ALL", "-t 1440", "--mem 204800"]


def test_eight_gpus_on_one_node(asked: dict[str, list[str]]) -> None:
    """One task: torchrun starts the eight processes itself."""
    assert asked["rule_run one-node_sid_0"] == [*SAME, "--requeue", "--cpus-per-task=32", "--gpus=8"]


def test_sixteen_gpus_on_two_nodes(asked: dict[str, list[str]]) -> None:
    """One task a node: each starts a torchrun with eight processes."""
    geometry = [*SAME, "--nodes=2", "--requeue", "--ntasks=2", "--cpus-per-task=32", "--gres=gpu:8"]
    assert asked["rule_run_nodes two-nodes_sid_0"] == geometry


def test_controls_take_one_gpu(asked: dict[str, list[str]]) -> None:
    for task in ("one-node", "two-nodes"):
        geometry = [*SAME, "--requeue", "--cpus-per-task=4", "--gpus=1"]
        assert asked[f"rule_control {task}_untrained_0"] == geometry


def test_a_miniature_takes_a_core(asked: dict[str, list[str]]) -> None:
    geometry = ["--parsable", "--export=ALL", "-t 30", "--mem 3000", "--requeue", "--ntasks=1", "--cpus-per-task=1"]
    assert asked["rule_run no-gpu_sid_0"] == geometry

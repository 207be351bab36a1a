"""The resources of a task's jobs reach the scheduler, and no digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.suite.plan import Plan, load_plan


def plan(folder: Path, machine: dict[str, Any] | None) -> Plan:
    task = {"teacher": "digits-cond", "protocol": "digits", **({"machine": machine} if machine else {})}
    entries = {"dmd": {"method": "dmd", "options": {"regression": 0.25}}}
    content = {"name": "own", "extends": "smoke", "tasks": {"digits-cond": None, "task": task | {"pairs": {}}}}
    (folder / "suite.yaml").write_text(yaml.safe_dump(content | {"entries": entries}))
    return load_plan(str(folder / "suite.yaml"))


def test_only_a_training_takes_more_than_one_gpu(tmp_path: Path) -> None:
    made = plan(tmp_path, {"gpus": 8, "nodes": 2, "memory_gb": 100, "hours": 48})
    assert made.find("run", "task/sid/0").resources == {"gpu": 8, "nodes": 2, "mem_mb": 102_400, "runtime": 2880}
    for job in (made.find("run", "task/untrained/0"), *made.of("pairs")):
        assert (job.resources["gpu"], job.resources["nodes"], job.resources["mem_mb"]) == (1, 1, 102_400)
    for job in (*made.of("teacher"), *made.of("extractor"), *made.of("table")):
        assert not job.resources.get("gpu")


def test_the_machine_moves_no_digest(tmp_path: Path) -> None:
    small, large = (plan(tmp_path, machine).jobs for machine in (None, {"gpus": 8, "nodes": 2, "hours": 9}))
    assert [(job.id, job.digest) for job in small] == [(job.id, job.digest) for job in large]

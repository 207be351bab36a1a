"""Time of the workflow itself: `python -m benchmarks.speed.workflow`. No test times it.

planning      seconds a job: a dry run of many jobs minus one of few
nothing       `make reproduce` when every output exists
share         the part of a suite's wall time that is no work: `--share mini` runs it in a temporary folder
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.hardware import cores
from benchmarks.speed.machine import Clock, facts, medians
from benchmarks.suite.plan import Plan, load_plan
from sid import atomic

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).parent / "records" / "workflow.json"
SEEDS = 250  # of the smoke suite, with five jobs each
STARTS = {"training": "benchmarks.run.runner, sid.loop.trainer", "other": "benchmarks.run.runner"}  # what a job imports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", metavar="SUITE", help="also run this suite: the share of its time that is no work")
    args = parser.parse_args()
    record: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    record |= {"command": " ".join(["python -m benchmarks.speed.workflow", *sys.argv[1:]]), **facts(1)}
    record |= {"planning": planning(args.repeats), "nothing to do": nothing(args.repeats)}
    if args.share:
        record["share"] = {**share(args.share), "command": record["command"]}
    record["load_after"] = os.getloadavg()
    atomic.write_json(RECORD, record)
    figures = ("planning", "nothing to do", "share")
    print(json.dumps({name: record[name] for name in figures if name in record}, indent=1))
    return 0


def call(folder: Path, *words: str) -> Clock:
    """Wall and processor seconds of a command that must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - wall, "cpu": cpu}


def reproduce(folder: Path, suite: str, *flags: str) -> Clock:
    return call(folder, sys.executable, "-m", "benchmarks", "reproduce", suite, *flags)


def planning(repeats: int) -> dict[str, Any]:
    """Milliseconds a job, from reading the suite to the plan of Snakemake."""
    with tempfile.TemporaryDirectory() as name:
        folder, jobs, times = Path(name), {}, {}
        for label, seeds in (("few", 1), ("many", SEEDS)):
            text = json.dumps({"name": label, "extends": "smoke", "seeds": list(range(seeds))})  # JSON is YAML too
            (folder / f"{label}.yaml").write_text(text)
            jobs[label] = len(load_plan(str(folder / f"{label}.yaml")).jobs)
            times[label] = medians([reproduce(folder, f"{label}.yaml", "-n", "--quiet") for _ in range(repeats)])
    more = jobs["many"] - jobs["few"]
    each = {clock: 1000 * (times["many"][clock] - times["few"][clock]) / more for clock in ("wall", "cpu")}
    return {"jobs": jobs, "seconds": times, "milliseconds a job": each}


def nothing(repeats: int) -> dict[str, Any]:
    """Seconds that `make` and Snakemake take to see that every output of the mini suite exists (as an empty file)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _touch_outputs(load_plan("mini", str(folder / "results")))
        made = medians([reproduce(folder, "mini") for _ in range(repeats)])
        installed = medians([call(ROOT, "make", "--no-print-directory", "install") for _ in range(repeats)])
    return {"reproduce": made, "make install": installed, "seconds": {c: made[c] + installed[c] for c in made}}


def _touch_outputs(plan: Plan) -> None:
    """Makes every output an empty file, older than the outputs that depend on it."""
    for age, job in enumerate(plan.jobs):
        for path in map(Path, job.outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1e9 + age, 1e9 + age))


def share(suite: str) -> dict[str, Any]:
    """Seconds of idle cores and of start-up, as a share of all cores' wall time."""
    count = cores()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wall = reproduce(folder, suite)["wall"]
        jobs = _spans(folder / ".snakemake" / "metadata")
    starts = {
        name: medians([call(ROOT, sys.executable, "-c", f"import {modules}") for _ in range(3)])["wall"]
        for name, modules in STARTS.items()
    }
    plan = load_plan(suite)
    training = len(plan.of("teacher")) + sum("method" in job.params for job in plan.of("run"))
    idle = wall * count - sum(jobs)
    lost = idle + starts["training"] * training + starts["other"] * (len(jobs) - training)
    numbers = {"cores": count, "wall": wall, "jobs": len(jobs), "trainings": training, "idle": idle, "start": starts}
    return {"suite": suite, **numbers, "share": lost / (wall * count)}


def _spans(metadata: Path) -> list[float]:
    """Seconds of every job. Snakemake records them per output; outputs with the same log are one job's."""
    begun: dict[tuple[str, ...], float] = {}
    ended: dict[tuple[str, ...], float] = {}
    for file in metadata.iterdir():
        entry = json.loads(file.read_text())
        if entry.get("starttime") and entry.get("endtime"):
            job = (entry["rule"], *(entry.get("log") or ()))
            begun[job] = min(entry["starttime"], begun.get(job, entry["starttime"]))
            ended[job] = max(entry["endtime"], ended.get(job, entry["endtime"]))
    return [ended[job] - begun[job] for job in begun]


if __name__ == "__main__":
    raise SystemExit(main())

"""What the workflow itself costs: `python -m benchmarks.speed.workflow`. Never a timed test.

planning      a dry run of many jobs, less one of few, over the jobs that there are more
nothing       `make reproduce` where everything is made
share         what of a suite's wall time is no work: `--share mini` makes it, from nothing, in a folder of its own
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import facts
from benchmarks.suite.plan import Plan, load_plan
from sid import atomic

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).parent / "records" / "workflow.json"
SEEDS = 250  # of the smoke suite: five jobs each
STARTS = {"training": "benchmarks.run.runner, sid.loop.trainer", "other": "benchmarks.run.runner"}  # what a job imports
Clock = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", metavar="SUITE", help="also make this suite, and tell the share of what is no work")
    args = parser.parse_args()
    found: dict[str, Any] = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    found |= {"command": " ".join(["python -m benchmarks.speed.workflow", *sys.argv[1:]]), **facts(1)}
    found |= {"planning": planning(args.repeats), "nothing to do": nothing(args.repeats)}
    if args.share:
        found["share"] = {**share(args.share), "command": found["command"]}
    found["load_after"] = os.getloadavg()
    atomic.write_json(RECORD, found)
    print(json.dumps({name: found[name] for name in ("planning", "nothing to do", "share") if name in found}, indent=1))
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


def middle(times: list[Clock]) -> Clock:
    return {clock: statistics.median(one[clock] for one in times) for clock in ("wall", "cpu")}


def planning(repeats: int) -> dict[str, Any]:
    """Milliseconds a job, from reading the suite to Snakemake's finished plan."""
    with tempfile.TemporaryDirectory() as name:
        folder, jobs, times = Path(name), {}, {}
        for label, seeds in (("few", 1), ("many", SEEDS)):
            text = json.dumps({"name": label, "extends": "smoke", "seeds": list(range(seeds))})  # JSON is YAML too
            (folder / f"{label}.yaml").write_text(text)
            jobs[label] = len(load_plan(str(folder / f"{label}.yaml")).jobs)
            times[label] = middle([reproduce(folder, f"{label}.yaml", "-n", "--quiet") for _ in range(repeats)])
    more = jobs["many"] - jobs["few"]
    each = {clock: 1000 * (times["many"][clock] - times["few"][clock]) / more for clock in ("wall", "cpu")}
    return {"jobs": jobs, "seconds": times, "milliseconds a job": each}


def nothing(repeats: int) -> dict[str, Any]:
    """The mini suite, every file of which is there (and empty): what `make` and Snakemake take to see that."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _pretend(load_plan("mini", str(folder / "results")))
        made = middle([reproduce(folder, "mini") for _ in range(repeats)])
        installed = middle([call(ROOT, "make", "--no-print-directory", "install") for _ in range(repeats)])
    return {"reproduce": made, "make install": installed, "seconds": {c: made[c] + installed[c] for c in made}}


def _pretend(plan: Plan) -> None:
    """Every output, inputs before what is made of them."""
    for age, job in enumerate(plan.jobs):
        for path in map(Path, job.outputs):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (1e9 + age, 1e9 + age))


def share(suite: str) -> dict[str, Any]:
    """Cores that no job held, and each job's start, over all that the cores could have done."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wall = reproduce(folder, suite)["wall"]
        jobs = _spans(folder / ".snakemake" / "metadata")
    starts = {
        name: middle([call(ROOT, sys.executable, "-c", f"import {modules}") for _ in range(3)])["wall"]
        for name, modules in STARTS.items()
    }
    plan = load_plan(suite)
    training = len(plan.of("teacher")) + sum("method" in job.params for job in plan.of("run"))
    idle = wall * cores - sum(jobs)
    lost = idle + starts["training"] * training + starts["other"] * (len(jobs) - training)
    told = {"cores": cores, "wall": wall, "jobs": len(jobs), "trainings": training, "idle": idle, "start": starts}
    return {"suite": suite, **told, "share": lost / (wall * cores)}


def _spans(metadata: Path) -> list[float]:
    """Seconds of every job, as Snakemake noted them for each of its outputs; a job has one log."""
    begun: dict[tuple[str, ...], float] = {}
    ended: dict[tuple[str, ...], float] = {}
    for file in metadata.iterdir():
        told = json.loads(file.read_text())
        if told.get("starttime") and told.get("endtime"):
            job = (told["rule"], *(told.get("log") or ()))
            begun[job] = min(told["starttime"], begun.get(job, told["starttime"]))
            ended[job] = max(told["endtime"], ended.get(job, told["endtime"]))
    return [ended[job] - begun[job] for job in begun]


if __name__ == "__main__":
    raise SystemExit(main())

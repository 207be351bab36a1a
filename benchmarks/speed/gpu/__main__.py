"""Measures a GPU within a time budget, the most valuable steps first: `make gpu`.

Each step is a process of its own that writes its record below OUT after every measurement; steps.json lists what ran.
Every record is complete up to its last measurement, however the step ended. `--take OUT` files the records in the
project and writes docs/speed.md again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ending
from benchmarks.speed import page
from benchmarks.speed.gpu import packages
from benchmarks.speed.gpu.plan import Step, StepPlaces, TimeBudget, steps
from sid import atomic
from sid.fault import Fault

GPU_DIR = Path(".gpu")  # in the checkout, ignored by git


def main(words: Sequence[str] | None = None) -> int:
    begin = time.monotonic()
    args = _arguments(words)
    try:
        if args.collect:
            size = packages.collect(args.wheels)
            print(f"{len(list(args.wheels.glob('*.whl')))} wheels, {size / 2**20:.1f} MiB, in {args.wheels}")
            return 0
        if args.take:
            for path in page.take(args.take):
                print(path)
            return 0
        with ending.stoppable():  # running steps end with it
            return run(args, begin)
    except ending.Stopped as stopped:
        return 128 + stopped.number
    except Fault as fault:
        for sentence in fault.sentences:
            print(f"benchmarks.speed.gpu: {sentence}", file=sys.stderr)
        return 2


def run(args: argparse.Namespace, begin: float) -> int:
    """Runs the steps for which there is time; 1 where one of them failed, 0 where some were only skipped."""
    out = args.out.resolve()
    chosen = _chosen(steps(StepPlaces(out, args.shared.resolve(), args.other.resolve(), args.tiny)), args.only)
    site = packages.ready(args.wheels.resolve(), args.site.resolve())
    out.mkdir(parents=True, exist_ok=True)
    budget = TimeBudget(args.seconds, begin)
    python_path = [str(packages.ROOT), *([str(site)] if site else []), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(python_path), "PYTHONUNBUFFERED": "1"}
    environment.setdefault("OMP_NUM_THREADS", "1" if args.tiny else "4")
    if args.tiny:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    rows: list[dict[str, Any]] = _earlier(out)
    failed = False
    for step in chosen:
        print(f"== {step.name}: {budget.left():.0f} s are left", flush=True)
        row = budget.run(step, out, environment)
        failed |= any(row.get("status", {}).values())
        rows.append(row)
        atomic.write_json(out / "steps.json", {"seconds": args.seconds, "tiny": args.tiny, "steps": rows})
        print(json.dumps(row), flush=True)
    print(f"{out}: `python -m benchmarks.speed.gpu --take {args.out}` files the records")
    return int(failed)


def _earlier(out: Path) -> list[dict[str, Any]]:
    """Rows of earlier calls with the same OUT: a second call with other steps adds to them."""
    path = out / "steps.json"
    return json.loads(path.read_text())["steps"] if path.is_file() else []


def _chosen(plan: list[Step], names: str) -> list[Step]:
    wanted = [name for name in names.split(",") if name]
    known = {step.name: step for step in plan}
    if wrong := [name for name in wanted if name not in known]:
        raise Fault(f"no step is called {', '.join(wrong)}; the steps are {', '.join(known)}")
    return [known[name] for name in wanted] or plan


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=GPU_DIR / "out", help="folder for the records (%(default)s)")
    parser.add_argument("--seconds", type=float, default=480, help="for all steps together (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on a CPU, with small networks")
    parser.add_argument("--only", default="", metavar="STEP,STEP", help="these steps, in this order")
    parser.add_argument("--shared", type=Path, default=Path("results"), help="results of `make reproduce`")
    parser.add_argument("--other", type=Path, default=Path("results"), help="results with the CPU's scores")
    parser.add_argument("--wheels", type=Path, default=GPU_DIR / "whl", help="folder of wheels (%(default)s)")
    parser.add_argument("--site", type=Path, default=GPU_DIR / "site", help="folder to install them in (%(default)s)")
    parser.add_argument("--collect", action="store_true", help="download the wheels, which needs a package index")
    parser.add_argument("--take", type=Path, metavar="OUT", help="file the records of OUT in the project")
    return parser.parse_args(words)


if __name__ == "__main__":
    raise SystemExit(main())

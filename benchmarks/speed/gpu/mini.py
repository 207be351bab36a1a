"""Six runs of the miniature on a GPU beside the CPU's scores of the same runs: `python -m benchmarks.speed.gpu.mini`.

Teachers, extractors and pairs are the ones that a `make reproduce` has made; the same draws then give the same runs,
and a score that is far from the CPU's would be a fault. Needs no Snakemake.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine.lease import FOLDER, VISIBLE
from benchmarks.speed.machine import command, facts
from benchmarks.suite.job import SHARED
from sid import atomic

SUITE, TASK = "mini", "digits-cond"
RUNS = tuple(f"{entry}/{seed}" for seed in (0, 1, 2) for entry in ("sid-1.2", "dmd"))
PATIENCE = 110  # seconds for all of them


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("results"), help="results in which `_shared` lies")
    parser.add_argument("--other", type=Path, default=Path("results"), help="results with the CPU's scores")
    parser.add_argument("--tiny", action="store_true", help="one run, on a CPU")
    parser.add_argument("--record", type=Path, required=True)
    args = parser.parse_args()
    record: dict[str, Any] = {"command": command("benchmarks.speed.gpu.mini"), "suite": SUITE, "tiny": args.tiny}
    if not (args.shared / SHARED).is_dir():
        record["skipped"] = f"{args.shared / SHARED} is not there: `make reproduce` makes it, and it was not brought"
        atomic.write_json(args.record, record)
        print(record["skipped"])
        return 0
    record |= {**facts(1), "runs": {}}
    atomic.write_json(args.record, record)
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        shutil.copytree(args.shared / SHARED, results / SHARED)
        return followed(results, args.other, args.record, record, RUNS[:1] if args.tiny else RUNS, int(not args.tiny))


def followed(results: Path, other: Path, path: Path, record: dict[str, Any], runs: tuple[str, ...], gpus: int) -> int:
    """Starts all runs beside each other and writes each one's scores when it ends."""
    begin = time.perf_counter()
    running = {run: _started(results, run, gpus) for run in runs}
    failed = 0
    while running and time.perf_counter() - begin < PATIENCE:
        for run in [run for run, process in running.items() if process.poll() is not None]:
            code = running.pop(run).returncode
            failed |= code != 0
            record["runs"][run] = compared(results, other, run) if code == 0 else {"status": code}
            record["runs"][run]["seconds"] = round(time.perf_counter() - begin, 1)
            print(run, record["runs"][run], flush=True)
            atomic.write_json(path, record)
        time.sleep(0.2)
    for run, process in running.items():
        process.kill()
        record["runs"][run] = {"status": f"not done in {PATIENCE} s"}
        atomic.write_json(path, record)
    return int(failed or bool(running))


def _started(results: Path, run: str, gpus: int) -> subprocess.Popen[bytes]:
    """Every run leases the one card by locks of its own: they share it, as a workflow's jobs never would."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", FOLDER: str(results.parent / "leases" / run)}
    environment.setdefault(VISIBLE, "0")
    words = ["--results", str(results), "run", SUITE, f"{TASK}/{run}", f"--gpus={gpus}", "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "benchmarks", *words], env=environment)


def compared(results: Path, other: Path, run: str) -> dict[str, Any]:
    """A run's metrics here and on the CPU, None where the CPU's are not at hand."""
    folder = Path(SUITE) / "runs" / TASK / run
    here, there = (_metrics(place / folder / "scores.json") for place in (results, other))
    made = json.loads((results / folder / "record.json").read_text())
    metrics = {name: {"here": value, "CPU": there.get(name)} for name, value in here.items()}
    return {"status": 0, "device": made["device"], "images per second": made.get("images_per_second"), **metrics}


def _metrics(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    return {name: metric["value"] for name, metric in json.loads(path.read_text())["metrics"].items()}


if __name__ == "__main__":
    raise SystemExit(main())

"""Kills a suite with SIGKILL at random moments, runs the same command again each time, and compares every byte.

Run on demand: python tests/smoke/kill.py [--kills 3] [--seed 0] [--only group|trainer|snakemake]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = """
name: kill
title: Long enough to be killed in the middle
extends: smoke
tasks:
  digits-cond: {budget: {images: 150_000}}
"""


def start(folder: Path, results: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks", "--results", results, "reproduce", str(folder / "kill.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = open(folder / f"{results}.log", "a")  # noqa: SIM115 - closed with the process
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def victims(process: subprocess.Popen, what: str) -> list[int]:
    """The processes of the session that the name picks; the command itself where there are none."""
    listed = subprocess.run(["ps", "-o", "pid=,args=", "-s", str(process.pid)], capture_output=True, text=True).stdout
    wanted = {"trainer": r"benchmarks .* run ", "snakemake": r"-m snakemake"}[what]
    return [int(line.split()[0]) for line in listed.splitlines() if re.search(wanted, line)] or [process.pid]


def kill(process: subprocess.Popen, what: str) -> None:
    if what == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        for victim in victims(process, what):
            os.kill(victim, signal.SIGKILL)
    process.wait()


def results_of(folder: Path) -> dict[str, bytes]:
    """What must not differ: tables, curves, scores and generators."""
    wanted = ("verdict.csv", "curve.jsonl", "scores.json", "generator.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in wanted}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("group", "trainer", "snakemake"))
    args = parser.parse_args()
    moments = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kill.yaml").write_text(SUITE)
        begin = time.monotonic()
        if start(folder, "whole").wait():
            print((folder / "whole.log").read_text())
            return 1
        length = time.monotonic() - begin
        print(f"undisturbed: {length:.0f} s", flush=True)
        for number in range(args.kills):
            what = args.only or ("group", "trainer", "snakemake")[number % 3]
            process = start(folder, "cut")
            moment = moments.uniform(0.1, 0.9) * length
            try:
                process.wait(moment)
                print(f"kill {number}: everything was already done", flush=True)
            except subprocess.TimeoutExpired:
                kill(process, what)
                print(f"kill {number}: the {what}, after {moment:.0f} s", flush=True)
        while start(folder, "cut").wait():
            print("not everything could be made; once more", flush=True)
        for log in sorted((folder / "cut").rglob("*.log")):
            for line in log.read_text().splitlines():
                if "going on from" in line:
                    print(f"{log.stem}: {line}")
        same = results_of(folder / "whole") == results_of(folder / "cut")
        print(f"{len(results_of(folder / 'whole'))} files compared: {'identical' if same else 'DIFFERENT'}")
        return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

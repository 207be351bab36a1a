"""Kills a suite with SIGKILL at random moments, runs the same command again each time, and compares every byte.

Run on demand: python tests/smoke/kill.py [--kills 20] [--seed 0] [--images 150000] [--only group|trainer|snakemake]

`reproduce` with its process group, the trainers alone and Snakemake alone take turns; every second kill falls into the
first two seconds of a job. Ten seconds later no process may be left. When the suite is made in spite of the kills, its
files are compared with an undisturbed run's, and it begins again from nothing, until there were as many kills as asked.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 60.0  # seconds of training that a kill may cost
EARLY = 2.0  # seconds of a job in which every second kill falls
LEAVING = 10.0  # seconds after which no process may be left
SUITE = """
name: kill
title: Long enough to be killed in the middle
extends: smoke
tasks:
  digits-cond: {budget: {images: IMAGES}}
"""


def start(folder: Path, results: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchmarks", "--results", results, "reproduce", str(folder / "kill.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = open(folder / f"{results}.log", "a")  # noqa: SIM115 - closed with the process
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def living(process: subprocess.Popen) -> list[str]:
    """The command lines of the session's processes."""
    words = ["ps", "-o", "stat=,args=", "-s", str(process.pid)]
    lines = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if not line.startswith("Z")]


def wait_for_job(process: subprocess.Popen) -> bool:
    """Waits for the next job to begin; False if the suite ends before that."""
    job = re.compile(r"benchmarks .* (run|prepare) ")
    before = {line for line in living(process) if job.search(line)}
    while process.poll() is None:
        if {line for line in living(process) if job.search(line)} - before:
            return True
        time.sleep(0.05)
    return False


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


def at_stake(results: Path) -> float:
    """Seconds of training that a kill would repeat now: how old the newest state is of those who train."""
    ages = [0.0]
    for lock in results.rglob("run-0.lock"):
        with open(lock) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # somebody trains here
                begun = [lock.stat().st_mtime, *(path.stat().st_mtime for path in lock.parent.glob("state-*"))]
                ages.append(time.time() - max(begun))
    return max(ages)


def results_of(folder: Path) -> dict[str, bytes]:
    """What must not differ: tables, curves, scores and generators."""
    tables = ("verdict.md", "verdict.csv", "verdict.tex", "claims.csv")
    wanted = (*tables, "curve.jsonl", "scores.json", "generator.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in wanted}


class Trial:
    """A suite that is killed again and again."""

    def __init__(self, folder: Path, moments: random.Random, length: float):
        self.folder, self.moments, self.length = folder, moments, length
        self.worst = 0.0  # seconds of training repeated
        self.different: list[str] = []
        self.rounds = 0

    def cut(self, what: str, number: int) -> None:
        """One kill at a random moment; a suite that is done before that begins anew."""
        while True:
            process = start(self.folder, "cut")
            moment = self.moments.uniform(0.05, 0.95) * self.length
            try:
                if number % 2 and wait_for_job(process):
                    moment = self.moments.uniform(0, EARLY)
                status = process.wait(moment)
            except subprocess.TimeoutExpired:
                stake = at_stake(self.folder / "cut")
                self.worst = max(self.worst, stake)
                kill(process, what)
                self.leave(process, number)
                print(f"kill {number}: the {what}, after {moment:.0f} s, {stake:.0f} s to repeat", flush=True)
                return
            if status == 0:
                self.compare()

    def leave(self, process: subprocess.Popen, number: int) -> None:
        """After a kill nothing may go on for long. Trainers that save a state are given the time."""
        until = time.monotonic() + LEAVING
        while (left := living(process)) and time.monotonic() < until:
            time.sleep(0.1)
        self.different += [f"kill {number} left {line}" for line in left]

    def finish(self) -> None:
        """The same command until all is made."""
        for _ in range(5):
            if start(self.folder, "cut").wait() == 0:
                return self.compare()
            print("not everything could be made; once more", flush=True)
        self.different.append("five runs after the last kill the suite is not made")

    def compare(self) -> None:
        """The made suite against the undisturbed one, then away with it."""
        whole, cut = (results_of(self.folder / name) for name in ("whole", "cut"))
        self.different += [name for name in sorted({*whole, *cut}) if whole.get(name) != cut.get(name)]
        self.rounds += 1
        told = sum(log.read_text().count("going on from") for log in (self.folder / "cut").rglob("*.log"))
        verdict = "identical" if not self.different else f"DIFFERENT: {', '.join(self.different)}"
        print(f"round {self.rounds}: {len(cut)} files compared, {verdict}; {told} trainings went on", flush=True)
        shutil.rmtree(self.folder / "cut")
        shutil.rmtree(self.folder / ".snakemake")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=150_000, help="of a training")
    parser.add_argument("--only", choices=("group", "trainer", "snakemake"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kill.yaml").write_text(SUITE.replace("IMAGES", str(args.images)))
        begin = time.monotonic()
        if start(folder, "whole").wait():
            print((folder / "whole.log").read_text())
            return 1
        length = time.monotonic() - begin
        print(f"undisturbed: {length:.0f} s", flush=True)
        trial = Trial(folder, random.Random(args.seed), length)
        for number in range(args.kills):
            trial.cut(args.only or ("group", "trainer", "snakemake")[number % 3], number + 1)
        trial.finish()
        if not (good := not trial.different and trial.worst <= LIMIT):
            print((folder / "cut.log").read_text())
        print(f"{args.kills} kills, {trial.rounds} suites made; at most {trial.worst:.0f} s of training repeated")
        return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

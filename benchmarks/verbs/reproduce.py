"""Makes a whole suite by one command: Snakemake with progress, then the table."""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.suite.plan import Plan

HELP = "make everything of a suite, with progress; the same command resumes it"
EXAMPLE = "sidbench reproduce mini"
DRY = {"-n", "--dry-run", "--dryrun"}
PASSED_THROUGH = {
    *DRY,
    "--lint",
    "--unlock",
    "--report",
    "--dag",
    "--rulegraph",
    "--summary",
    "-h",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="...", help="flags for Snakemake, for example -n")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import ending

    try:
        with ending.stoppable():
            return _reproduce(args)
    except ending.Stopped as stopped:
        if stopped.number == signal.SIGINT:
            raise KeyboardInterrupt from None
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"sidbench: stopped by {stopped}; the same command goes on from here", file=sys.stderr, flush=True)
        return 128 + stopped.number


def _reproduce(args: argparse.Namespace) -> int:
    from benchmarks.machine import snakemake
    from benchmarks.suite.plan import load_plan

    plan = load_plan(args.suite, args.results)
    snakemake.writable(Path(args.results))
    snakemake.writable(Path(".snakemake"))
    passed = PASSED_THROUGH & {flag.split("=")[0] for flag in args.flags}
    with snakemake.alone():
        snakemake.unlock(args.suite, args.results)
        again = [] if passed - DRY else _moved(plan)
        words = snakemake.command(args.suite, args.results, args.flags, again)
        if passed:
            return subprocess.run(words).returncode
        _prepare(plan, bool(again))
        status = _run(plan, words)
    if status == 0:
        _show(plan)
    return status


def _moved(plan: Plan) -> list[str]:
    """Says which finished results are made again and why; returns a file of each.

    Snakemake sees that by itself only where it made the result in this folder.
    """
    from benchmarks.machine import moved

    stale = [job for job in plan.of("run") if moved.is_moved(job)]
    for job in stale:
        print(f"made again: {job.id}: {moved.summary(moved.reasons(job, plan))}", flush=True)
    return [path for job in stale for path in job.outputs if path.endswith("scores.json")]


def _prepare(plan: Plan, stale: bool) -> None:
    """Reports missing inputs before anything is made; removes scores that lacked weights which are present now."""
    from benchmarks.machine import needs
    from sid.fault import Fault

    incomplete = needs.completable(plan)
    if not (incomplete or stale) and all(Path(path).exists() for job in plan.jobs for path in job.outputs):
        return
    if faults := needs.obstacles(plan.suite):
        raise Fault(faults)
    for sentence in needs.unavailable(plan.suite):
        print(f"missing: {sentence}", flush=True)
    for job in incomplete:
        print(f"{job.id}: scored again, since the weights that it lacked are present now", flush=True)
        (job.folder / "scores.json").unlink()


def _run(plan: Plan, words: list[str]) -> int:
    """Runs Snakemake with one line per finished job."""
    from benchmarks.machine import config_words, snakemake
    from benchmarks.machine.snakemake import Feed, duration

    begin, name = time.monotonic(), config_words.nameable(plan.results)
    feed = Feed(plan, lambda line: print(line.replace(name, plan.results), flush=True))
    status = snakemake.run(words, feed.read)
    if status:
        print("not everything could be made; the same command goes on from here", flush=True)
    elif feed.finished:
        print(f"{plan.suite.name}: done in {duration(time.monotonic() - begin)}")
    else:
        print(f"{plan.suite.name}: nothing to do")
    return status


def _show(plan: Plan) -> None:
    """Prints the table and the path of the page."""
    table = next(path for path in plan.of("table")[0].outputs if path.endswith(".md"))
    if Path(table).is_file():
        print(f"\n{Path(table).read_text(encoding='utf-8').strip()}\n")
        print(f"tables: {Path(table).parent}/")
        print(f"page:   {plan.of('report')[0].outputs[0]}")

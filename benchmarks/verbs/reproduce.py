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
    from collections.abc import Iterable, Sequence

    from benchmarks.suite.config import Suite
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan

HELP = "make everything of a suite, with progress; the same command resumes it"
EXAMPLE = "sidbench reproduce mini --only digits-cond"
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
CLUSTER = {"--profile", "--workflow-profile", "--executor", "-e", "--slurm"}  # jobs may run on other machines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    flags = parser.add_argument(
        "flags", nargs=argparse.REMAINDER, metavar="...", help="flags for Snakemake, for example -n"
    )
    flags.required = False  # or a call without a suite asks for them, too
    _add_own(parser)


def _add_own(parser: argparse.ArgumentParser) -> None:
    """The flags that are ours: they may stand before the suite or among Snakemake's."""
    absent = argparse.SUPPRESS
    parser.add_argument(
        "--only", action="append", metavar="NAME", default=absent, help="tasks or rows, for example 'sid-lsg-*'"
    )
    parser.add_argument(
        "--keep-going",
        action=argparse.BooleanOptionalAction,
        default=absent,
        help="leave out rows that lack a file, and make the rest (default: for suites that read published models)",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        default=absent,
        help="at most so many for one job; numbers stay equal up to rounding",
    )


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
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.selection import matching
    from sid.fault import Fault

    parser = argparse.ArgumentParser(prog="sidbench reproduce", allow_abbrev=False, add_help=False, exit_on_error=False)
    _add_own(parser)
    parser.add_argument("--results", default=argparse.SUPPRESS)  # the command line's own takes it before the suite only
    try:
        own, flags = parser.parse_known_args(args.flags, args)
    except argparse.ArgumentError as error:
        raise Fault(f"{error} (try sidbench reproduce --help)") from None
    if getattr(own, "gpus", 1) < 1:
        raise Fault(f"--gpus must be at least 1 (got {own.gpus})")
    flags += ["--keep-going"] * getattr(own, "keep_going", False)  # Snakemake's own, beyond the default profile
    snakemake.require()
    snakemake.lend_identity()
    snakemake.check_flags(flags, [name for name in parser._option_string_actions if name.startswith("--")])
    suite = load_suite(args.suite)
    only = matching(suite, own.only) if "only" in own else None
    snakemake.writable(Path(args.results))
    snakemake.writable(Path(".snakemake"))
    passed = PASSED_THROUGH & {flag.split("=")[0] for flag in flags}
    with snakemake.alone(args.suite):
        snakemake.unlock(args.suite, args.results)
        settings = {"rows": only, "gpus": getattr(own, "gpus", None)}
        if not passed:
            settings["rows"] = _ready(suite, only, own, flags)
        plan = Plan(suite, args.results, settings["rows"])
        again = [] if passed - DRY else _moved(plan)
        words = snakemake.command(args.suite, args.results, flags, settings, again)
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


def _ready(
    suite: Suite, only: Sequence[str] | None, own: argparse.Namespace, flags: Sequence[str]
) -> Sequence[str] | None:
    """The rows to be made, None for all; those that lack something are printed and left out, or raised as a Fault."""
    from benchmarks.machine import needs, runnable
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.selection import all_rows
    from sid.fault import Fault

    rows = all_rows(suite) if only is None else only
    plan = Plan(suite, own.results, only)
    if _made(plan.jobs):
        return only
    runs: dict[str, list[Job]] = {row: [] for row in rows}
    for job in plan.of("run"):
        runs.setdefault(f"{job.params['task']}/{job.params['entry']}", []).append(job)
    elsewhere = bool(CLUSTER & {flag.split("=")[0] for flag in flags})
    unmade = [row for row in rows if not _made(runs[row])]
    examined = runnable.examine(suite, unmade)
    lacking = {row: list(sentences) for row, sentences in examined.lacking.items()}
    if not elsewhere:
        for row, sentence in runnable.short_of_gpus(suite, examined.ready, getattr(own, "gpus", None)).items():
            lacking[row] = [sentence]
    sentences = list(dict.fromkeys(sentence for row in lacking for sentence in lacking[row]))
    keep_going = getattr(own, "keep_going", _reads_published(suite))
    if unreadable := needs.unreadable_numbers():
        raise Fault([*sentences, *unreadable])
    if lacking and (not keep_going or len(lacking) == len(rows)):
        raise Fault(sentences)
    for row, reasons in lacking.items():
        print(f"not run: {row}: {'; '.join(reasons)}", flush=True)
    if not lacking:
        return only
    return [row for row in rows if row not in lacking]


def _made(jobs: Iterable[Job]) -> bool:
    return all(Path(path).exists() for job in jobs for path in job.outputs)


def _reads_published(suite: Suite) -> bool:
    """Whether it reads models that others published, as the papers' suites do: few machines have all of them."""
    return any(teacher.source for teacher in suite.teachers.values()) or any(entry.released for *_, entry in suite.rows)


def _prepare(plan: Plan, stale: bool) -> None:
    """Before anything is made: reports weights that are missing and jobs that are being made elsewhere.

    Removes scores that lacked weights which are present now.
    """
    from benchmarks.machine import launch, needs

    incomplete = needs.completable(plan)
    if not (incomplete or stale) and _made(plan.jobs):
        return
    for sentence in needs.unavailable(plan.suite):
        print(f"missing: {sentence}", flush=True)
    for job in incomplete:
        print(f"{job.id}: scored again, since the weights that it lacked are present now", flush=True)
        (job.folder / "scores.json").unlink()
    for sentence in launch.made_elsewhere(plan.jobs):
        print(sentence, flush=True)


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

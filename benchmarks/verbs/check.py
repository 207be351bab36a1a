"""Reports every fault of a suite file at once, before any work."""

from __future__ import annotations

import argparse
from collections import Counter

from sid.fault import Fault

HELP = "check a suite file and report every fault at once"
EXAMPLE = "sidbench check mini"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite import files
    from benchmarks.suite.checks import player_faults
    from benchmarks.suite.job import KINDS
    from benchmarks.suite.plan import load_plan

    plan = load_plan(args.suite, args.results)
    suite_file = files.resolve("suite", args.suite)
    if faults := [suite_file.sentence(at, what) for at, what in player_faults(plan.suite)]:
        raise Fault(faults)
    count = Counter(job.kind for job in plan.jobs)
    parts = [
        f"{count[kind]} {kind}{'s' * (count[kind] > 1 and not kind.endswith('s'))}" for kind in KINDS if count[kind]
    ]
    print(f"{files.shown(suite_file.file)}: no fault; {', '.join(parts)}")
    return 0

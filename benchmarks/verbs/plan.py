"""What a suite would do: its jobs in their order, with digests."""

from __future__ import annotations

import argparse

HELP = "print the jobs of a suite"
EXAMPLE = "sidbench plan mini --outputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    parser.add_argument("--outputs", action="store_true", help="also the files that each job makes")


def run(args: argparse.Namespace) -> int:
    from benchmarks import models, needs
    from benchmarks.plan import load_plan

    plan = load_plan(args.suite, args.results)
    for job in plan.jobs:
        print(f"{job.kind:<10} {job.digest}  {job.id}")
        for path in job.outputs if args.outputs else ():
            print(f"{'':<24} {path}")
    for sentence in needs.faults(plan.suite) + models.missing(plan.suite):
        print(f"missing: {sentence}")
    return 0

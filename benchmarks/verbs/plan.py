"""Estimates the cost of a suite; `--jobs` lists its jobs in their order, with digests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.suite.plan import Plan

HELP = "estimate a suite's cost, or list its jobs"
EXAMPLE = "sidbench plan sd15 --gpu h100 --gpus 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    parser.add_argument(
        "--gpu", metavar="NAME", help="a GPU of the table (default: the rate that `sidbench calibrate` measured)"
    )
    parser.add_argument(
        "--gpus", type=int, metavar="N", help="number of GPUs (default: that of the suite's largest training)"
    )
    parser.add_argument("--json", action="store_true", help="the estimate as JSON")
    parser.add_argument("--jobs", action="store_true", help="one line for every job, instead of the estimate")
    parser.add_argument("--outputs", action="store_true", help="like --jobs, with the files that each job makes")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import needs
    from benchmarks.suite.plan import load_plan
    from sid.fault import Fault

    if args.gpus is not None and args.gpus < 1:
        raise Fault(f"--gpus must be at least 1 (got {args.gpus})")
    plan = load_plan(args.suite, args.results)
    if args.jobs or args.outputs:
        for job in plan.jobs:
            print(f"{job.kind:<10} {job.digest}  {job.id}")
            for path in job.outputs if args.outputs else ():
                print(f"{'':<24} {path}")
        for sentence in needs.obstacles(plan.suite) + needs.unavailable(plan.suite):
            print(f"missing: {sentence}")
        return 0
    _estimate(plan, args)
    return 0


def _estimate(plan: Plan, args: argparse.Namespace) -> None:
    import json

    from benchmarks.estimate import devices, estimate, table
    from benchmarks.machine import needs

    device = devices.chosen(args.gpu, args.results)
    gpus = args.gpus or estimate.gpus_of(plan.suite)
    missing = needs.obstacles(plan.suite) + needs.unavailable(plan.suite)
    estimated = (plan.suite, estimate.estimate(plan, gpus), device, gpus, missing)
    if args.json:
        print(json.dumps(table.as_json(*estimated), indent=1))
        return
    for line in table.lines(*estimated):
        print(line)

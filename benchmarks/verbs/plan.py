"""Estimates the cost of a suite; `--jobs` lists its jobs in their order, with digests."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.suite.job import Job
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
    parser.add_argument("--only", action="append", metavar="NAME", help="tasks or rows, for example 'sid-lsg-*'")
    parser.add_argument("--json", action="store_true", help="the estimate as JSON")
    parser.add_argument("--jobs", action="store_true", help="one line for every job, instead of the estimate")
    parser.add_argument("--outputs", action="store_true", help="like --jobs, with the files that each job makes")


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.selection import cut_down, matching, with_origins
    from sid.fault import Fault

    if args.gpus is not None and args.gpus < 1:
        raise Fault(f"--gpus must be at least 1 (got {args.gpus})")
    if args.json and (args.jobs or args.outputs):
        raise Fault("--json prints the estimate, --jobs and --outputs list the jobs: take one of them")
    suite = load_suite(args.suite)
    if args.only:
        rows = matching(suite, args.only)
        suite = cut_down(suite, {origin for row in rows for origin in with_origins(suite, row)})
    plan = Plan(suite, args.results)
    if args.jobs or args.outputs:
        _list(plan, args.outputs)
    else:
        _estimate(plan, args)
    return 0


def _list(plan: Plan, outputs: bool) -> None:
    """A line a job, under a line that says what its columns are."""
    print("kind       digest        job: what it makes")
    for job in plan.jobs:
        print(f"{job.kind:<10} {job.digest}  {named(job)}")
        for path in job.outputs if outputs else ():
            print(f"{'':<24} {path}")
    print("\nA digest names everything that decides a job's result; while it stays the same, nothing is made again.")
    _report(plan)


def named(job: Job) -> str:
    """A job as a person calls it: a run by task/entry/seed, a shared artefact by its content."""
    params = job.params
    if job.kind == "teacher":
        return f"teacher {params['name']}" + (f", seed {params['seed']}" if "seed" in params else ", published")
    if job.kind == "extractor":
        return f"feature network {params['name']}, seed {params['seed']}"
    if job.kind == "prompts":
        source = params["prompts"]
        return f"embeddings of {source.get('name') or source.get('data') or source.get('file')} by {params['family']}"
    if job.kind == "latents":
        return f"latents of {params['pairs']} by {params['family']}"
    if job.kind == "pairs":
        return f"{params['count']:,} pairs of the teacher {params['teacher']}, seed {params['seed']}"
    return job.id if job.kind == "run" else f"{job.kind} of {job.id}"


def _report(plan: Plan) -> None:
    """What is missing, and how many rows can be made all the same."""
    from benchmarks.machine import needs, runnable

    examined = runnable.examine(plan.suite)
    for sentence in [*examined.sentences, *needs.unreadable_numbers(), *needs.unavailable(plan.suite)]:
        print(f"missing: {sentence}")
    if examined.lacking:
        ready, lacking = len(examined.ready), len(examined.lacking)
        print(f"{ready} of {ready + lacking} rows have all files that they read")


def _estimate(plan: Plan, args: argparse.Namespace) -> None:
    import json

    from benchmarks.estimate import devices, estimate, table
    from benchmarks.machine import needs

    device = devices.chosen(args.gpu, args.results)
    missing = needs.obstacles(plan.suite) + needs.unavailable(plan.suite)
    gpus = args.gpus or estimate.gpus_of(plan.suite)
    estimated = (plan.suite, estimate.estimate(plan, gpus), device, gpus, missing)
    if args.json:
        print(json.dumps(table.as_json(*estimated), indent=1))
        return
    for line in table.lines(*estimated):
        print(line)

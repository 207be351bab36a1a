"""A whole run in one process: train, sample, score."""

from __future__ import annotations

import argparse

HELP = "train, sample and score one run of a suite; the same command resumes it"
EXAMPLE = "sidbench run mini digits-cond/sid-1.2/0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    parser.add_argument("run_id", metavar="TASK/ENTRY/SEED", help="a run of the suite (see `sidbench plan SUITE`)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--digest", metavar="DIGEST", help="refuse the run if the plan gives it another digest")
    parser.add_argument("--output", nargs="+", metavar="FILE", help=argparse.SUPPRESS)  # of the workflow: its files
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs a node (default: what the suite asks for)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import launch
    from benchmarks.run import twins
    from benchmarks.suite.plan import load_plan
    from sid.fault import Fault

    if args.gpus is not None and args.gpus < 0:
        raise Fault(f"--gpus must not be negative (got {args.gpus})")
    args.results = launch.results_of(args, "run")
    plan = load_plan(args.suite, args.results)
    job = plan.find("run", args.run_id)
    launch.confirm(job, args.digest)
    with launch.alone(job, f"sidbench run {args.suite} {args.run_id}"):
        if suite := twins.take_over(job, plan):
            print(f"{job.id} is the run of that name of {suite}, digest {job.digest}: taken over")
            return 0
        with launch.started(job, "run", args.run_id, args) as command:
            from benchmarks.run import runner

            runner.run(job, plan, command, args.quiet)
    return 0

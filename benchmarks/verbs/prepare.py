"""A shared artefact of a suite: a teacher, an extractor, prompt embeddings, latents or pairs."""

from __future__ import annotations

import argparse
import re

HELP = "make a shared artefact of a suite (teacher, extractor, prompts, latents or pairs); the same command resumes it"
EXAMPLE = "sidbench prepare mini teacher/0a1b2c3d4e5f"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", metavar="SUITE", help="a suite's name or file")
    parser.add_argument("artefact", metavar="KIND/DIGEST", help="an artefact of the suite (see `sidbench plan SUITE`)")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--output", nargs="+", metavar="FILE", help=argparse.SUPPRESS)  # of the workflow: its files
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs a node (default: what the suite asks for)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import launch
    from benchmarks.suite.digests import DIGITS
    from benchmarks.suite.job import SHARED_KINDS
    from benchmarks.suite.plan import load_plan
    from sid.discovery import UnknownName
    from sid.fault import Fault

    if args.gpus is not None and args.gpus < 0:
        raise Fault(f"--gpus must not be negative (got {args.gpus})")
    args.results = launch.results_of(args, "teacher")
    plan = load_plan(args.suite, args.results)
    shared = {f"{job.kind}/{job.id}": job for job in plan.jobs if job.kind in SHARED_KINDS}
    if args.artefact not in shared:
        if re.fullmatch(f"({'|'.join(SHARED_KINDS)})/[0-9a-f]{{{DIGITS}}}", args.artefact):
            raise Fault(
                f"the suite {plan.suite.name} has no {args.artefact} (now): if it had one when the workflow began, a "
                "file that it names has changed since; run the same command again"
            )
        raise UnknownName(f"artefact of the suite {plan.suite.name}", args.artefact, shared)
    job = shared[args.artefact]
    with launch.alone(job, f"sidbench prepare {args.suite} {args.artefact}"):
        if launch.made_meanwhile(job):
            print(f"{args.artefact} was made meanwhile, by another workflow of these results")
            return 0
        with launch.started(job, "prepare", args.artefact, args) as command:
            from benchmarks.run import prepare

            prepare.prepare(job, command, args.quiet)
    return 0

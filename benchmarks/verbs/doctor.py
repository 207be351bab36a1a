"""Checks installation, devices, weights, data, disk and Snakemake profile, with one line of advice for each fault."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "check the installation, devices, weights, data, disk and Snakemake profile; 1 where something is broken"
EXAMPLE = "sidbench doctor sd15"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="also look for the weights and data of this suite")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="Snakemake profile (default: the project's)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine.doctor import examine
    from benchmarks.suite.load import load_suite

    if args.suite:
        load_suite(args.suite)  # a faulty suite is reported before anything else
    broken = 0
    if args.profile and not args.profile.is_dir():
        raise Fault(f"--profile: there is no folder '{args.profile}'")
    for finding in examine(args.suite, Path(args.results), args.profile):
        print(finding.line, flush=True)
        broken += finding.state == "broken"
    print("nothing is broken" if not broken else f"{broken} broken")
    return 1 if broken else 0

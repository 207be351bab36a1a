"""Is this machine ready? Installation, devices, weights, data, disk and the Snakemake profile, with one advice each."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "check the installation, devices, weights, data, disk and Snakemake profile; 1 where something is broken"
EXAMPLE = "sidbench doctor sd15"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="whose weights and data are looked for")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="of Snakemake (default: the project's)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine.doctor import examine
    from benchmarks.suite.load import load_suite

    if args.suite:
        load_suite(args.suite)  # a faulty suite is told before anything else
    broken = 0
    for finding in examine(args.suite, Path(args.results), args.profile):
        print(finding.line, flush=True)
        broken += finding.state == "broken"
    print("nothing is broken" if not broken else f"{broken} broken")
    return 1 if broken else 0

"""Lists what no suite needs any more in the results, with sizes; removes it when told."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "list results, states and logs that no suite needs any more, with sizes; --remove them"
EXAMPLE = "sidbench clean my-suite.yaml --remove"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "suites",
        nargs="*",
        metavar="SUITE",
        help="your own suites' names or files, whose results are needed, too (those that ship always are)",
    )
    parser.add_argument("--remove", action="store_true", help="remove what is listed, for good")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import leftovers
    from sid.fault import Fault, report

    results = Path(args.results)
    if not results.is_dir():
        raise Fault(f"there is no folder '{results}'")
    cleaning = leftovers.examine(results, args.suites)
    for sentence in cleaning.left_alone:
        report(f"left alone: {sentence}")
    for leftover in cleaning.leftovers:
        print(f"{leftover.size / 2**20:10.1f} MiB  {leftover.path}  ({leftover.why})")
    total = sum(leftover.size for leftover in cleaning.leftovers) / 2**20
    if not cleaning.leftovers:
        print(f"{results}: nothing that no suite needs")
        return 0
    if args.remove:
        leftovers.refuse_at_work(results)
        leftovers.remove(cleaning.leftovers, results)
    done = "removed" if args.remove else "to remove; --remove does it"
    print(f"{total:10.1f} MiB in {len(cleaning.leftovers)} places {done}")
    return 0

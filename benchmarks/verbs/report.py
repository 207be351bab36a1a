"""The page of a suite: one HTML file that opens from the disk."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "make the page of suites or result folders: verdicts, curves, samples, cost, provenance"
EXAMPLE = "sidbench report mini"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("named", nargs="+", metavar="SUITE|FOLDER", help="suites, or folders of results to join")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write here instead of beside the runs")


def run(args: argparse.Namespace) -> int:
    from benchmarks.report import audit, page
    from benchmarks.tables.gather import gather
    from benchmarks.tables.published import lines

    gathered = gather(args.named, args.results)
    if args.out and len(gathered) > 1:
        raise Fault("--out takes the page of one suite; here are " + ", ".join(one.suite.name for one in gathered))
    for one in gathered:
        layout = one.layout
        beside = page.Beside([row for task in layout.tasks for row in lines(task.name)], audit.read(one.home))
        print(page.write(layout, one.rows(), args.out or one.home / "report", beside))
    return 0

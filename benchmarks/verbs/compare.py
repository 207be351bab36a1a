"""What changed between two result trees; status 1 when anything did."""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

HELP = "show what changed between two result trees: runs, recipes, versions, scores"
EXAMPLE = "sidbench compare results-a results-b"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("one", type=Path, metavar="FOLDER", help="results, or one suite's folder in it")
    parser.add_argument("other", type=Path, metavar="FOLDER")


def run(args: argparse.Namespace) -> int:
    from benchmarks.tables.compare import compare

    changes = compare(args.one, args.other)
    for where, group in groupby(changes, key=lambda change: change.where):
        print(where)
        for change in group:
            print(f"  {change.what}")
    print(f"{len(changes)} changes" if changes else "no change")
    return int(bool(changes))

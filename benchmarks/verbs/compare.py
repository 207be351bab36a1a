"""Verb `compare`: prints what changed between two result trees; exit status 1 if anything did."""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

HELP = "show what changed between two result trees: runs, recipes, versions, scores"
EXAMPLE = "sidbench compare results-a results-b"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="BEFORE", help="a folder of results, or of one suite in it")
    parser.add_argument("after", type=Path, metavar="AFTER", help="the folder to compare with it")


def run(args: argparse.Namespace) -> int:
    from benchmarks.tables.compare import compare

    changes = compare(args.before, args.after)
    for where, group in groupby(changes, key=lambda change: change.where):
        print(where)
        for change in group:
            print(f"  {change.what}")
    print(f"{len(changes)} changes" if changes else "no change")
    return int(bool(changes))

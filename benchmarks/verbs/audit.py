"""Verb `audit`: scores the same images by every installed implementation, and attributes the differences."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HELP = "audit metric implementations: value, deviation and its causes, one factor at a time"
EXAMPLE = "sidbench audit samples/ --reference val/ --output results/audit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", type=Path, nargs="?", metavar="IMAGES", help="folder or archive (default: synthetic images)"
    )
    parser.add_argument(
        "--reference", type=Path, metavar="REF", help="the other set (default: the second half of IMAGES)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="of Inception-2015 (default: searched like all weights)"
    )
    parser.add_argument("--random-weights", type=int, metavar="SEED", help="random weights, named on every line")
    parser.add_argument(
        "--baseline", default="inception-tf", metavar="EXTRACTOR", help="the one that deviations are measured from"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="for audit.md, .csv and .html (default: RESULTS/audit)"
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="the first N images of each set (default: all, decoded in memory)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of synthetic images (default: 0)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.audit.run import BASELINES, audit
    from benchmarks.audit.subject import subject_of
    from benchmarks.audit.write import text, write
    from sid.discovery import UnknownName

    if args.baseline not in BASELINES:
        raise UnknownName("baseline", args.baseline, BASELINES)
    with tempfile.TemporaryDirectory() as folder:
        subject = subject_of(
            args.images,
            args.reference,
            Path(folder),
            samples=args.samples,
            weights=args.weights,
            random_weights=args.random_weights,
            seed=args.seed,
        )
        tables = audit(subject, args.baseline, _progress)
    print(text(tables))
    for path in write(tables, args.output or Path(args.results) / "audit"):
        print(path)
    return 1 if any(row.verdict == "unexplained" for table in tables for row in table.rows) else 0


def _progress(what: str) -> None:
    """On stderr, so that the tables can be piped."""
    print(f"audit: {what} ...", file=sys.stderr, flush=True)

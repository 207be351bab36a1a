"""Verb `audit`: scores the same images by every installed implementation, and attributes the differences."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

from sid.fault import Fault

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
    parser.add_argument(
        "--tap", type=int, default=2048, choices=(64, 192, 768, 2048), help="dimension of the features (default: 2048)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="cpu, cuda or auto, for this project's own passes; peers run on the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--all-factors", action="store_true", help="each change of the pixels too, alone and in pairs: many more passes"
    )
    parser.add_argument("--value", metavar="NUMBER", help="what somebody reports for these images, to be explained")


def run(args: argparse.Namespace) -> int:
    from benchmarks.audit.pipelines import BASELINES
    from benchmarks.audit.run import audit
    from benchmarks.audit.subject import subject_of
    from benchmarks.audit.write import text, write
    from benchmarks.hardware import chosen_device
    from sid.discovery import UnknownName

    if args.baseline not in BASELINES:
        raise UnknownName("baseline", args.baseline, BASELINES)
    reported, within = _reported(args.value)
    with tempfile.TemporaryDirectory() as folder:
        subject = subject_of(
            args.images,
            args.reference,
            Path(folder),
            samples=args.samples,
            weights=args.weights,
            random_weights=args.random_weights,
            seed=args.seed,
            tap=args.tap,
            device=chosen_device(args.device),
        )
        tables = audit(subject, args.baseline, _progress, args.all_factors, reported, within)
    print(text(tables))
    for path in write(tables, args.output or Path(args.results) / "audit"):
        print(path)
    return 1 if any(row.verdict == "unexplained" for table in tables for row in table.rows) else 0


def _reported(words: str | None) -> tuple[float | None, float]:
    """A number as somebody printed it, and half a unit of its last digit."""
    if words is None:
        return None, 0.0
    try:
        value = float(words)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Fault(f"--value must be a number (got '{words}')")
    mantissa, _, exponent = words.lower().partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return value, 0.5 * 10.0**-digits


def _progress(what: str, left: float | None) -> None:
    """On stderr, so that the tables can be piped."""
    remaining = f" (about {left:.0f} s left)" if left is not None else ""
    print(f"audit: {what} ...{remaining}", file=sys.stderr, flush=True)

"""Verb `audit`: scores the same images by every installed implementation, and attributes the differences."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.audit.budget import BudgetCase, Measure
    from benchmarks.images.reading import Images
    from benchmarks.scoring.requests import Request
    from benchmarks.scoring.score import ScoreSettings

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
        "--weights",
        nargs="+",
        metavar="FILE",
        help="of Inception-2015 (default: searched like all weights); with --budget EXTRACTOR=FILE",
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
    parser.add_argument(
        "--budget", action="store_true", help="how far scores move by batch, threads, precision, files, seed, counts"
    )
    parser.add_argument("--protocol", metavar="NAME", help="with --budget: its columns (default: fid, and clip-score)")
    parser.add_argument("--captions", type=Path, metavar="FILE", help="with --budget: one line per image")
    parser.add_argument(
        "--seeds", type=Path, nargs="+", default=[], metavar="IMAGES", help="with --budget: samples of other seeds"
    )


def run(args: argparse.Namespace) -> int:
    if args.budget:
        return _budget(args)
    if given := [f"--{name}" for name in ("protocol", "captions", "seeds") if getattr(args, name)]:
        raise Fault(f"{' and '.join(given)}: only with --budget")
    if args.weights and len(args.weights) > 1:
        raise Fault(f"--weights takes one file of Inception-2015 (got {len(args.weights)})")

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
            weights=Path(args.weights[0]) if args.weights else None,
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


def _budget(args: argparse.Namespace) -> int:
    """Every score of the images under one change at a time."""
    from benchmarks.audit.budget import BATCH, BudgetCase, budget
    from benchmarks.audit.write import text, write
    from benchmarks.data.open import open_dataset
    from benchmarks.images.reading import open_images
    from benchmarks.scoring.protocol import columns, read
    from benchmarks.scoring.requests import request, request_variant
    from benchmarks.scoring.score import ScoreSettings
    from benchmarks.verbs.score import named_values, read_captions

    if args.images is None:
        raise Fault("audit --budget: name the images whose scores are looked into")
    captions = read_captions(args.captions)[0] or []
    if args.protocol:
        requests = columns(read(args.protocol))
    else:
        requests = {"fid": request("fid"), **({"clip": request_variant("clip-score", "hessel")} if captions else {})}
    images = open_images(args.images)
    images = images.first(args.samples) if args.samples is not None else images
    if captions and len(captions) != len(images):
        raise Fault(f"{len(images):,} images but {len(captions):,} captions: they must pair up")
    reference: Images | None
    if args.reference is not None:
        reference = open_images(args.reference)
    else:
        named = next((asked.reference for asked in requests.values() if asked.reference), None)
        reference = open_dataset(named.data).source(named.split) if named else None
    weights = {name: Path(file) for name, file in named_values("--weights", "EXTRACTOR=FILE", args.weights)}
    settings = ScoreSettings(random_weights=args.random_weights, weights=weights)
    random = f", random weights, seed {args.random_weights}" if args.random_weights is not None else ""
    case = BudgetCase(images, tuple(captions), reference, BATCH)
    others = [open_images(path) for path in args.seeds]
    measure = _measure(requests, settings)
    tables = budget(case, measure, others, f"{args.images.name}{random}", _progress)
    print(text(tables))
    for path in write(tables, args.output or Path(args.results) / "audit", "budget"):
        print(path)
    return 0


def _measure(requests: Mapping[str, Request], settings: ScoreSettings) -> Measure:
    """The scoring engine as a function of a case; the features of a reference are computed once a setting."""
    import torch

    from benchmarks.scoring.score import Scorer

    scorers: dict[tuple[int, int, str, int], Scorer] = {}

    def measure(case: BudgetCase) -> dict[str, float | str]:
        key = (id(case.reference), case.batch, case.device, torch.get_num_threads())
        if key not in scorers:
            how = replace(settings, batch=case.batch, device=case.device)
            scorers[key] = Scorer(requests, how, case.reference, bool(case.captions))
        scorer = scorers[key]
        features = scorer.look(case.images, case.captions)
        if case.precision != "float32":
            rounded = getattr(torch, case.precision)
            for place, portions in features.portions.items():
                features.portions[place] = [torch.from_numpy(part).to(rounded).float().numpy() for part in portions]
        values = scorer.score(features)
        return {label: values[label].value if label in values else scorer.unavailable[label] for label in requests}

    return measure


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

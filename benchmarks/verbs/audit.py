"""Verb `audit`: scores the same images by every installed implementation, and attributes the differences."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.audit.pipelines import Subject

HELP = "audit metric implementations: value, deviation and its causes, one factor at a time"
EXAMPLE = "sidbench audit samples/ --reference val/ --output results/audit"
SYNTHETIC = 48  # images a set


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
        "--all-factors", action="store_true", help="each change of the pixels too, alone and in pairs: many more passes"
    )
    parser.add_argument("--value", metavar="NUMBER", help="what somebody reports for these images, to be explained")


def run(args: argparse.Namespace) -> int:
    from benchmarks.audit.pipelines import BASELINES
    from benchmarks.audit.run import audit
    from benchmarks.audit.write import text, write
    from sid.discovery import UnknownName

    if args.baseline not in BASELINES:
        raise UnknownName("baseline", args.baseline, BASELINES)
    reported, within = _reported(args.value)
    with tempfile.TemporaryDirectory() as folder:
        subject = _subject(args, Path(folder))
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


def _subject(args: argparse.Namespace, folder: Path) -> Subject:
    """Folders for the peers, and a network; the label names the images and weights."""
    from benchmarks.audit import synthetic
    from benchmarks.audit.pipelines import Subject

    sources = []
    if args.images is None:
        if args.reference:
            raise Fault("audit: a reference without images; name both or neither")
        images = synthetic.write(folder / "images", SYNTHETIC, args.seed, blur=0.15)
        reference = synthetic.write(folder / "reference", SYNTHETIC, args.seed + 1, blur=0.0)
        sources.append("synthetic images")
    else:
        images, reference = _folders(args.images, args.reference, folder, args.samples)
        sources.append(str(args.images) + (f", the first {args.samples} images" if args.samples is not None else ""))
    state, weights = _state(args)
    return Subject(images, reference, state, ", ".join([*sources, weights]), sources[0], args.tap)


def _state(args: argparse.Namespace) -> tuple[dict, str]:
    """The network's tensors and their name for the label."""
    from benchmarks.assets import find, tensors
    from benchmarks.features.inception import WEIGHT
    from benchmarks.features.networks.inception import random_state
    from benchmarks.suite import components

    path = None if args.random_weights is not None else find(WEIGHT, args.weights)
    if path is not None:
        opened = components.extractors()["inception-tf"].open(path)  # refuses another network's file
        return tensors(path), f"weights {opened.identity[:12]}"
    seed = args.random_weights or 0
    reason = "" if args.random_weights is not None else " since no weights were found"
    return random_state(seed), f"random weights, seed {seed}{reason}"


def _folders(images: Path, reference: Path | None, folder: Path, samples: int | None) -> tuple[Path, Path]:
    """Two folders that the peers can read: folders as they are, archives as lossless copies, one set as two halves."""
    from benchmarks.images.reading import Subset, open_images, refuse_undecodable

    if samples is not None and samples < 4:
        raise Fault(f"--samples must be at least 4 (got {samples})")
    sets = [open_images(path) for path in (images, reference) if path is not None]
    if samples is not None:
        sets = [images_of.first(samples) for images_of in sets]
    as_it_is = [path is not None and path.is_dir() and samples is None for path in (images, reference)]
    if reference is None:
        as_it_is = [False]  # its halves are copied
    # Before the audit takes minutes. Other readers clip deep pixels: in folders that they read themselves they stay.
    refuse_undecodable(*sets, deep=not all(as_it_is))
    first = sets[0]
    if reference is None:
        if len(first) < 4:
            raise Fault(f"{images} holds {len(first)} images: two halves need at least 4")
        half = len(first) // 2
        halves = Subset(first, range(half)), Subset(first, range(half, len(first)))
        return _copied(halves[0], folder / "images"), _copied(halves[1], folder / "reference")
    second = sets[1]
    compared = images if as_it_is[0] else _copied(first, folder / "images")
    against = reference if as_it_is[1] else _copied(second, folder / "reference")
    return compared, against


def _copied(images: object, folder: Path) -> Path:
    """Writes the decoded pixels as PNG files, named in the images' order."""
    from PIL import Image

    from benchmarks.images.reading import Images, decode

    assert isinstance(images, Images)
    folder.mkdir()
    for index, name in enumerate(images.names):
        pixels, _ = decode(images.read(index), name)
        Image.fromarray(pixels.transpose(1, 2, 0).copy()).save(folder / f"{index:06d}.png")
    return folder

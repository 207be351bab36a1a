"""Scores of any images: a folder, zip, tar or npz against a reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.imagescore import Result, Settings

HELP = "score a folder, zip, tar or npz of images: FID, KID, CLIP score and more, in one pass"
EXAMPLE = "sidbench score samples/ --reference val.zip --metrics fid,kid,precision,recall"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder, zip, tar, npz or npy")
    parser.add_argument("--reference", type=Path, metavar="REF", help="images, or a file of statistics")
    parser.add_argument(
        "--reference-family", metavar="EXTRACTOR", help="by whose resize a foreign mu/sigma npz was made"
    )
    parser.add_argument("--metrics", default="fid", metavar="LIST", help="comma-separated, see `sidbench list metrics`")
    parser.add_argument("--variant", default="", metavar="NAME", help="a published variant of the metrics that have it")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="METRIC.NAME=VALUE", help="for example kid.subsets=100"
    )
    parser.add_argument(
        "--captions", type=Path, metavar="FILE", help="one line per image, in natural order of the names"
    )
    parser.add_argument("--template", metavar="TEXT", help="put before every caption (default: the CLIP score's own)")
    parser.add_argument("--samples", type=int, metavar="N", help="the first N images; fewer are refused")
    parser.add_argument("--crop", choices=("none", "centre"), default="none", help="before any resize (default: none)")
    parser.add_argument(
        "--side", type=int, default=0, metavar="PIXELS", help="resize before the network's own (0: not)"
    )
    parser.add_argument("--filter", default="lanczos", metavar="NAME", help="of that resize (default: lanczos)")
    parser.add_argument("--weights", nargs="*", default=[], metavar="EXTRACTOR=FILE", help="weight files given by hand")
    parser.add_argument("--random-weights", type=int, metavar="SEED", help="made networks; every line says so")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="decoding threads (default: the cores)")
    parser.add_argument("--no-store", action="store_true", help="neither read nor write stored features")
    parser.add_argument("--required", action="store_true", help="leave with status 1 when a metric is unavailable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")


def run(args: argparse.Namespace) -> int:
    from benchmarks.images import open_images
    from benchmarks.imagescore import score
    from sid import atomic

    wanted = _wanted(args)
    settings = _settings(args)
    images = open_images(args.images)
    images = images.first(args.samples) if args.samples else images
    result = score(images, wanted, args.reference, _captions(args.captions), settings)
    for line in _lines(result, wanted, args.random_weights):
        print(line)
    if args.json:
        atomic.write_json(args.json, as_json(result, str(args.images), args.random_weights))
    return 1 if args.required and result.unavailable else 0


def _wanted(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """metric -> options: those of the variant, then those given by hand; mistyped ones are told together."""
    import yaml

    from benchmarks import components
    from sid.discovery import UnknownName, pick

    wanted: dict[str, dict[str, Any]] = {}
    for name in filter(None, args.metrics.split(",")):
        metric = pick("metric", dict(components.metrics()), name.strip())
        wanted[metric.name] = dict(metric.variants.get(args.variant, {}))
    if args.variant and not any(args.variant in components.metrics()[name].variants for name in wanted):
        known = {variant for name in wanted for variant in components.metrics()[name].variants}
        raise UnknownName("variant", args.variant, known)
    faults: list[str] = []
    for given in args.options:
        place, _, value = given.partition("=")
        name, _, option = place.rpartition(".")
        if name not in wanted:
            raise UnknownName("metric in --options", name or given, wanted)
        faults += components.metrics()[name].faults({option: value})
        wanted[name][option] = yaml.safe_load(value)
    if faults:
        raise Fault(faults)
    return wanted


def _settings(args: argparse.Namespace) -> Settings:
    from benchmarks.geometry import FILTERS, Geometry
    from benchmarks.imagescore import Settings
    from benchmarks.metrics.clip_score import PREFIX
    from benchmarks.store import Store
    from sid.discovery import UnknownName

    if args.filter not in FILTERS:
        raise UnknownName("filter", args.filter, FILTERS)
    given = dict(pair.partition("=")[::2] for pair in args.weights)
    return Settings(
        geometry=Geometry(args.crop, args.side, args.filter),
        batch=args.batch,
        workers=args.workers,
        device=args.device,
        random_weights=args.random_weights,
        weights={name: Path(file) for name, file in given.items()},
        template=PREFIX if args.template is None else args.template,
        family=args.reference_family,
        store=None if args.no_store else Store(Path(args.results) / "_shared" / "features"),
    )


def _captions(path: Path | None) -> list[str] | None:
    """One a line; outer blanks are part of a caption, as in the published lists."""
    if path is None:
        return None
    if not path.is_file():
        raise Fault(f"there is no file of captions {path}")
    return path.read_text().removesuffix("\n").split("\n")


def _lines(result: Result, wanted: dict[str, Any], seed: int | None) -> list[str]:
    """A value or a reason per metric, what qualifies it, then what was seen of the images."""
    made = f"  [random weights, seed {seed}: compares nothing but itself]" if seed is not None else ""
    width = max(len(name) for name in wanted)
    lines = []
    for name in wanted:
        if name in result.unavailable:
            lines.append(f"{name:<{width}}  unavailable: {result.unavailable[name]}")
            continue
        score = result.scores[name]
        told = _told(score.details)
        lines.append(f"{name:<{width}}  {score.value:.6g}{told}{made}")
        lines += [f"{'':<{width}}  ! {said}" for said in score.warnings]
    against = f" against {result.reference:,}" if result.reference is not None and result.reference < 10**9 else ""
    return [*lines, *(f"! {said}" for said in result.warnings), f"{result.images:,} images{against}"]


def _told(details: dict[str, Any]) -> str:
    """The spread or interval where there is one."""
    if "low" in details:
        return f" [{details['low']:.6g}, {details['high']:.6g}]"
    return f" ± {details['std']:.3g}" if details.get("std") else ""


def as_json(result: Result, images: str, seed: int | None) -> dict[str, Any]:
    """Everything that stands behind the lines."""
    from benchmarks.scoring import as_json as scores_json

    return {
        "images": images,
        "count": result.images,
        "reference_count": result.reference,
        "random_weights": seed,
        "weights": result.weights,
        "metrics": scores_json(result.scores),
        "unavailable": result.unavailable,
        "warnings": result.warnings,
    }

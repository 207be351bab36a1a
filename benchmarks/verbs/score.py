"""Scores of any images: a folder, zip, tar or npz against a reference."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Metric
    from benchmarks.scoring.requests import Asked
    from benchmarks.scoring.score import Result, Settings
    from benchmarks.suite.protocol import Protocol

HELP = "score a folder, zip, tar or npz of images: FID, KID, CLIP score and more, in one pass"
EXAMPLE = "sidbench score samples/ --reference val.zip --metrics fid,kid,precision,recall"
FIXED = ("variant", "extractor", "options", "samples", "crop", "side", "filter")  # by a protocol


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder, zip, tar, npz or npy")
    add("--reference", type=Path, metavar="REF", help="images, or a file of statistics")
    add("--reference-family", metavar="EXTRACTOR", help="by whose resize a foreign mu/sigma npz was made")
    add("--metrics", metavar="LIST", help="comma-separated, see `sidbench list metrics` (default: fid)")
    add("--protocol", metavar="NAME", help="everything as that protocol fixes it; --metrics then picks its columns")
    add("--variant", metavar="NAME", help="a published variant of the metrics that have it")
    add("--extractor", nargs="+", metavar="METRIC=EXTRACTOR", help="other features, for example kid=inception-clean")
    add("--options", nargs="+", metavar="METRIC.NAME=VALUE", help="for example kid.subsets=100")
    add("--captions", type=Path, metavar="FILE", help="one line per image, in natural order of the names")
    add("--samples", type=int, metavar="N", help="the first N images; fewer are refused")
    add("--crop", choices=("none", "centre"), help="before any resize (default: none)")
    add("--side", type=int, metavar="PIXELS", help="resize before the network's own (default: not)")
    add("--filter", metavar="NAME", help="of that resize (default: lanczos)")
    add("--weights", nargs="+", metavar="EXTRACTOR=FILE", help="weight files given by hand")
    add("--random-weights", type=int, metavar="SEED", help="made networks; every line says so")
    add("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    add("--batch", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    add("--workers", type=int, default=0, metavar="N", help="decoding threads (default: the cores)")
    add("--no-store", action="store_true", help="neither read nor write stored features")
    add("--required", action="store_true", help="leave with status 1 when any metric is unavailable")
    add("--json", type=Path, metavar="FILE", help="write everything there too")


def run(args: argparse.Namespace) -> int:
    from benchmarks.images.reading import open_images
    from benchmarks.scoring.protocol import check_captions, score_by
    from benchmarks.scoring.score import score
    from sid import atomic

    protocol = _protocol(args)
    wanted = {} if protocol else _wanted(args)
    settings = _settings(args)
    captions, digest = _captions(args.captions)
    images = open_images(args.images)
    if protocol:
        if captions is not None:
            check_captions(protocol, digest, len(captions))
        result = score_by(protocol, images, args.reference, captions, settings, _names(args.metrics))
    else:
        images = images.first(args.samples) if args.samples is not None else images
        result = score(images, wanted, args.reference, captions, settings)
    for line in lines(result, args.random_weights):
        print(line)
    if args.json:
        atomic.write_json(args.json, as_json(result, args))
    return 1 if not result.scores or (args.required and result.unavailable) else 0


def _protocol(args: argparse.Namespace) -> Protocol | None:
    """The protocol, and nothing beside it that it fixes."""
    if args.protocol is None:
        return None
    from benchmarks.scoring.protocol import read

    protocol = read(args.protocol)
    if given := [f"--{name}" for name in FIXED if getattr(args, name) is not None]:
        raise Fault(f"the protocol {protocol.name} fixes {' and '.join(given)}: leave it out, or leave out --protocol")
    return protocol


def _names(listed: str | None) -> list[str]:
    """Of metrics or columns; none where the list was left out, which is no empty list."""
    names = [name.strip() for name in (listed or "").split(",") if name.strip()]
    if listed is not None and not names:
        raise Fault(f"--metrics names no metric (got '{listed}'); `sidbench list metrics` tells them")
    return names


def _wanted(args: argparse.Namespace) -> dict[str, Asked]:
    """metric -> what is asked: the variant's options, then those given by hand; mistyped ones are told together."""
    from benchmarks.scoring.requests import ask_variant
    from benchmarks.suite import components
    from sid.discovery import UnknownName, pick

    known = dict(components.metrics())
    names = _names(args.metrics) or ["fid"]
    metrics = {name: pick("metric", known, name) for name in names}
    if args.variant and not any(args.variant in metric.variants for metric in metrics.values()):
        raise UnknownName("variant", args.variant, {one for metric in metrics.values() for one in metric.variants})
    reads = _pairs("--extractor", "METRIC=EXTRACTOR", args.extractor, "metric in --extractor", metrics)
    options: dict[str, dict[str, Any]] = {name: {} for name in metrics}
    for place, value in _split("--options", "METRIC.NAME=VALUE", args.options):
        name, _, option = place.rpartition(".")
        if name not in metrics:
            raise UnknownName("metric in --options", name or place, metrics)
        options[name][option] = _value(metrics[name], option, value)
    faults: list[str] = []
    wanted: dict[str, Asked] = {}
    for name in metrics:
        try:
            wanted[name] = ask_variant(name, args.variant or "", options[name], reads.get(name, ""))
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(faults)
    return wanted


def _value(metric: Metric, option: str, text: str) -> Any:
    """As YAML reads it; text stays as it is, its blanks are part of it."""
    import yaml

    from benchmarks.suite.strict import numbers

    if isinstance(metric.option(option, {}), str):
        return text
    try:
        return numbers(yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def _split(flag: str, form: str, words: Sequence[str] | None) -> list[tuple[str, str]]:
    """NAME=VALUE words."""
    for word in words or ():
        if "=" not in word:
            raise Fault(f"{flag} takes {form} (got '{word}')")
    return [(name, value) for name, _, value in (word.partition("=") for word in words or ())]


def _pairs(flag: str, form: str, words: Sequence[str] | None, what: str, known: Mapping[str, Any]) -> dict[str, str]:
    """The words by name; every name is known."""
    from sid.discovery import UnknownName

    found = dict(_split(flag, form, words))
    for name in found:
        if name not in known:
            raise UnknownName(what, name, known)
    return found


def _settings(args: argparse.Namespace) -> Settings:
    from benchmarks.features.store import Store
    from benchmarks.images.geometry import Geometry
    from benchmarks.scoring.score import Settings
    from benchmarks.suite import components

    for name, fewest in (("side", 0), ("samples", 1), ("batch", 1), ("workers", 0)):
        if (given := getattr(args, name)) is not None and given < fewest:
            raise Fault(f"--{name} must be at least {fewest} (got {given})")
    extractors = dict(components.extractors())
    given = _pairs("--weights", "EXTRACTOR=FILE", args.weights, "extractor in --weights", extractors)
    return Settings(
        geometry=Geometry(args.crop or "none", args.side or 0, args.filter or "lanczos"),
        batch=args.batch,
        workers=args.workers,
        device=args.device,
        random_weights=args.random_weights,
        weights={name: Path(file) for name, file in given.items()},
        family=args.reference_family,
        store=None if args.no_store else Store(Path(args.results) / "_shared" / "features"),
    )


def _captions(path: Path | None) -> tuple[list[str] | None, str]:
    """One a line, outer blanks part of each as in the published lists; and the file's sha256."""
    import hashlib

    if path is None:
        return None, ""
    if not path.is_file():
        raise Fault(f"there is no file of captions {path}")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(f"{path} is no text in UTF-8: {error.reason} at byte {error.start:,}") from None
    return text.removesuffix("\n").split("\n"), hashlib.sha256(content).hexdigest()


def lines(result: Result, seed: int | None) -> list[str]:
    """A value or a reason per metric, what qualifies it, then what was seen of the images."""
    made = f"  [random weights, seed {seed}: compares nothing but itself]" if seed is not None else ""
    width = max(len(name) for name in result.read)
    told = []
    for name in result.read:
        if name in result.unavailable:
            told.append(f"{name:<{width}}  unavailable: {result.unavailable[name]}{made}")
            continue
        score = result.scores[name]
        told.append(f"{name:<{width}}  {score.value:.6g}{_spread(score.details)}  on {result.read[name]}{made}")
        told += [f"{'':<{width}}  ! {said}" for said in score.warnings]
    against = f" against {result.reference:,}" if result.reference is not None else ""
    return [*told, *(f"! {said}" for said in result.warnings), f"{result.images:,} images{against}"]


def _spread(details: Mapping[str, Any]) -> str:
    """The spread or interval where there is one, and what a CLIP score means nothing without."""
    spread = f" ± {details['std']:.3g}" if details.get("std") else ""
    if "low" in details:
        spread = f" [{details['low']:.6g}, {details['high']:.6g}]"
    if "captions_moved" in details:
        spread += f" ({details['captions_moved']:.6g} with the captions moved by one; scale {details['scale']:g}"
        spread += f", template '{details['template']}')" if "template" in details else ")"
    return spread


def as_json(result: Result, args: argparse.Namespace) -> dict[str, Any]:
    """Everything that stands behind the lines."""
    from benchmarks.scoring.portions import as_json as scores_json

    return {
        "images": str(args.images),
        "count": result.images,
        "reference": str(args.reference) if args.reference else None,
        "reference_count": result.reference,
        "protocol": args.protocol,
        "random_weights": args.random_weights,
        "weights": result.weights,
        "sha256": result.digests,
        "features": result.read,
        "metrics": scores_json(result.scores),
        "unavailable": result.unavailable,
        "warnings": result.warnings,
    }

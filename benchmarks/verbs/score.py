"""Scores of any images: a folder, zip, tar or npz against a reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Metric
    from benchmarks.scoring.requests import Request
    from benchmarks.scoring.score import Result, ScoreSettings
    from benchmarks.suite.protocol import Protocol

HELP = "score a folder, zip, tar or npz of images: FID, KID, CLIP score and more, in one pass"
EXAMPLE = "sidbench score samples/ --reference val.zip --metrics fid,kid,precision,recall"
FIXED = ("variant", "extractor", "options", "samples", "crop", "rounding", "side", "filter")  # by a protocol


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("images", type=Path, metavar="IMAGES", help="folder, zip, tar, npz or npy")
    add("--reference", type=Path, metavar="REF", help="images, or a file of statistics (default: the protocol's data)")
    add("--reference-family", metavar="EXTRACTOR", help="the extractor whose resize made a foreign mu/sigma npz")
    add("--metrics", metavar="LIST", help="comma-separated, see `sidbench list metrics` (default: fid)")
    add("--protocol", metavar="NAME", help="everything as that protocol fixes it; --metrics then picks its columns")
    add("--variant", metavar="NAME", help="a published variant of the metrics that have it")
    add("--extractor", nargs="+", metavar="METRIC=EXTRACTOR", help="other features, for example kid=inception-clean")
    add("--options", nargs="+", metavar="METRIC.NAME=VALUE", help="for example kid.subsets=100")
    add("--captions", type=Path, metavar="FILE", help="one line per image, in natural order of the names")
    add("--samples", type=int, metavar="N", help="the first N images; fewer are refused")
    add("--crop", choices=("none", "centre"), help="before any resize (default: none)")
    add("--rounding", metavar="NAME", help="of the crop's margin: floor, or half-even as torchvision (default: floor)")
    add("--side", type=int, metavar="PIXELS", help="resize before the network's own (default: not)")
    add("--filter", metavar="NAME", help="of that resize (default: lanczos)")
    add("--weights", nargs="+", metavar="EXTRACTOR=FILE", help="weight files; folders of extractors trained in a suite")
    add("--random-weights", type=int, metavar="SEED", help="networks with random weights; every line says so")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")
    add("--batch", type=int, metavar="N", help="images at a time (default: 32, on a GPU what its memory allows)")
    add("--workers", type=int, default=0, metavar="N", help="decoding threads (default: the cores)")
    add("--no-store", action="store_true", help="neither read nor write cached features")
    add("--required", action="store_true", help="exit with status 1 when any metric is unavailable")
    add("--json", type=Path, metavar="FILE", help="write everything there too")


def run(args: argparse.Namespace) -> int:
    from benchmarks.images.reading import open_images
    from benchmarks.scoring.protocol import check_captions, score_by
    from benchmarks.scoring.score import score
    from sid import atomic

    protocol = _protocol(args)
    requests = {} if protocol else _requests(args)
    settings = _settings(args)
    captions, digest = read_captions(args.captions)
    images = open_images(args.images)
    if args.reference and not args.reference.exists():  # before a network is opened, or its absence hides this
        raise Fault(f"there are no images at {args.reference}, which --reference names: it does not exist")
    if protocol:
        if captions is not None:
            check_captions(protocol, digest, len(captions))
        result = score_by(protocol, images, args.reference, captions, settings, _names(args.metrics))
    else:
        images = images.first(args.samples) if args.samples is not None else images
        result = score(images, requests, args.reference, captions, settings)
    for line in lines(result, args.random_weights):
        print(line)
    if result.waiting.sentence:
        print(f"extraction: {result.waiting.sentence}", file=sys.stderr)
    if args.json:
        atomic.write_json(args.json, _document(result, args))
    return 1 if not result.scores or (args.required and result.unavailable) else 0


def _protocol(args: argparse.Namespace) -> Protocol | None:
    """The protocol; options that it fixes are refused beside it."""
    if args.protocol is None:
        return None
    from benchmarks.scoring.protocol import read

    protocol = read(args.protocol)
    if given := [f"--{name}" for name in FIXED if getattr(args, name) is not None]:
        raise Fault(f"the protocol {protocol.name} fixes {' and '.join(given)}: leave it out, or leave out --protocol")
    return protocol


def _names(listed: str | None) -> list[str]:
    """Of metrics or columns. None where the option was left out; an empty list of names is a mistake."""
    names = [name.strip() for name in (listed or "").split(",") if name.strip()]
    if listed is not None and not names:
        raise Fault(f"--metrics names no metric (got '{listed}'); `sidbench list metrics` lists them")
    return names


def _requests(args: argparse.Namespace) -> dict[str, Request]:
    """metric -> its request: the variant's options, then those given by hand; all mistyped ones in one Fault."""
    from benchmarks.scoring.requests import request_variant
    from benchmarks.suite import components
    from sid.discovery import UnknownName, pick

    known = dict(components.metrics())
    names = _names(args.metrics) or ["fid"]
    metrics = {name: pick("metric", known, name) for name in names}
    if args.variant and not any(args.variant in metric.variants for metric in metrics.values()):
        variants = {variant for metric in metrics.values() for variant in metric.variants}
        raise UnknownName("variant", args.variant, variants)
    extractors = dict(named_values("--extractor", "METRIC=EXTRACTOR", args.extractor))
    _check_known("metric in --extractor", extractors, metrics)
    options: dict[str, dict[str, Any]] = {name: {} for name in metrics}
    for path, value in named_values("--options", "METRIC.NAME=VALUE", args.options):
        name, _, option = path.rpartition(".")
        if name not in metrics:
            raise UnknownName("metric in --options", name or path, metrics)
        options[name][option] = _value(metrics[name], option, value)
    geometry = _geometry(args)
    requests: dict[str, Request] = {}
    faults: list[str] = []
    for name in metrics:
        try:
            reads = extractors.get(name, "")
            requests[name] = request_variant(name, args.variant or "", options[name], reads, geometry)
        except Fault as fault:
            faults += fault.sentences
    if faults:
        raise Fault(faults)
    return requests


def _geometry(args: argparse.Namespace) -> Any:
    from benchmarks.images.geometry import Geometry

    if args.side is not None and args.side < 0:
        raise Fault(f"--side must be at least 0 (got {args.side})")
    return Geometry(args.crop or "none", args.side or 0, args.filter or "lanczos", args.rounding or "floor")


def _value(metric: Metric, option: str, text: str) -> Any:
    """As YAML reads it. For an option that is text, the text itself: its blanks are part of it."""
    import yaml

    from benchmarks.suite.strict import numbers

    if isinstance(metric.option(option, {}), str):
        return text
    try:
        return numbers(yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def named_values(flag: str, form: str, words: Sequence[str] | None) -> list[tuple[str, str]]:
    """NAME=VALUE words as pairs."""
    for word in words or ():
        if "=" not in word:
            raise Fault(f"{flag} takes {form} (got '{word}')")
    return [(name, value) for name, _, value in (word.partition("=") for word in words or ())]


def _check_known(what: str, names: Iterable[str], known: Mapping[str, Any]) -> None:
    from sid.discovery import UnknownName

    for name in names:
        if name not in known:
            raise UnknownName(what, name, known)


def _settings(args: argparse.Namespace) -> ScoreSettings:
    from benchmarks.features.store import Store
    from benchmarks.hardware import chosen_device, extraction_batch
    from benchmarks.scoring.score import ScoreSettings
    from benchmarks.suite import components

    for name, fewest in (("samples", 1), ("batch", 1), ("workers", 0)):
        if (given := getattr(args, name)) is not None and given < fewest:
            raise Fault(f"--{name} must be at least {fewest} (got {given})")
    weights = dict(named_values("--weights", "EXTRACTOR=FILE", args.weights))
    extractors = dict(components.extractors())
    # An extractor that is trained in a suite may carry its seed: NAME@SEED.
    _check_known("extractor in --weights", (name.partition("@")[0] for name in weights), extractors)
    device = chosen_device(args.device)
    return ScoreSettings(
        batch=args.batch or extraction_batch(device),
        workers=args.workers,
        device=device,
        random_weights=args.random_weights,
        weights={name: Path(file) for name, file in weights.items()},
        family=args.reference_family,
        store=None if args.no_store else Store(Path(args.results) / "_shared" / "features"),
    )


def read_captions(path: Path | None) -> tuple[list[str] | None, str]:
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
    """A value or a reason per request, its warnings, then those of the images. `seed` is that of random weights."""
    random = f"  [random weights, seed {seed}: compares nothing but itself]" if seed is not None else ""
    width = max(len(name) for name in result.read)
    printed = []
    for name in result.read:
        if name in result.unavailable:
            printed.append(f"{name:<{width}}  unavailable: {result.unavailable[name]}{random}")
            continue
        score = result.scores[name]
        printed.append(f"{name:<{width}}  {score.value:.6g}{_spread(score.details)}  on {result.read[name]}{random}")
        printed += [f"{'':<{width}}  ! {warning}" for warning in score.warnings]
    against = f" against {result.reference:,}" if result.reference is not None else ""
    return [*printed, *(f"! {warning}" for warning in result.warnings), f"{result.images:,} images{against}"]


def _spread(details: Mapping[str, Any]) -> str:
    """The deviation or interval where there is one; for a CLIP score also scale, template and what chance gives."""
    spread = f" ± {details['std']:.3g}" if details.get("std") else ""
    if "low" in details:
        spread = f" [{details['low']:.6g}, {details['high']:.6g}]"
    if "captions_moved" in details:
        spread += f" ({details['captions_moved']:.6g} with the captions moved by one; scale {details['scale']:g}"
        spread += f", template '{details['template']}')" if "template" in details else ")"
    return spread


def _document(result: Result, args: argparse.Namespace) -> dict[str, Any]:
    """The result with its inputs, for --json."""
    from benchmarks.scoring.score import as_json

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
        "metrics": as_json(result.scores),
        "unavailable": result.unavailable,
        "warnings": result.warnings,
    }

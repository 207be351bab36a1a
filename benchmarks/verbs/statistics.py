"""Mean and covariance of a reference set, once: the file carries its family and the root of the covariance."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "write the statistics of a reference set, for `score --reference`"
EXAMPLE = (
    "sidbench statistics val2014/ --features inception-clean.pool3 --crop centre --side 256 --output val.safetensors"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder, zip, tar, npz or npy")
    parser.add_argument("--features", default="inception-tf.pool3", metavar="EXTRACTOR.OUTPUT")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--crop", choices=("none", "centre"), default="none", help="before any resize (default: none)")
    parser.add_argument(
        "--side", type=int, default=0, metavar="PIXELS", help="resize before the network's own (0: not)"
    )
    parser.add_argument("--filter", default="lanczos", metavar="NAME", help="of that resize (default: lanczos)")
    parser.add_argument(
        "--rounding",
        default="floor",
        metavar="NAME",
        help="of the crop's margin: floor, or half-even as torchvision (default: floor)",
    )
    parser.add_argument("--ddof", type=int, choices=(0, 1), default=1, help="of the covariance (default: 1)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of the extractor")
    parser.add_argument(
        "--random-weights", type=int, metavar="SEED", help="a network with random weights; the file says so"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images at a time (default: 32)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.features.extraction import extract
    from benchmarks.hardware import chosen_device
    from benchmarks.images.geometry import Geometry
    from benchmarks.images.reading import open_images
    from benchmarks.metrics.frechet import moments
    from benchmarks.metrics.statistics import statistics_header, write_statistics
    from benchmarks.scoring.requests import split
    from benchmarks.scoring.score import ScoreSettings, open_extractor
    from benchmarks.suite import components
    from sid.discovery import UnknownName

    if args.output.suffix != ".safetensors":
        raise Fault(f"statistics are written as .safetensors (got {args.output})")
    device = chosen_device(args.device)
    images = open_images(args.images)
    name, output = split(args.features)
    outputs = components.extractors()[name].outputs
    if not output:
        raise Fault(f"--features takes EXTRACTOR.OUTPUT, for example {name}.{outputs[0]} (got '{args.features}')")
    if output not in outputs:
        raise UnknownName(f"output of {name}", output, outputs)
    weights = {name: args.weights} if args.weights else {}
    settings = ScoreSettings(device=device, random_weights=args.random_weights, weights=weights)
    extractor = open_extractor(name, settings)
    geometry = Geometry(args.crop, args.side, args.filter, args.rounding)
    extracted = extract(images, {name: [output]}, {name: extractor}, geometry, args.batch)
    for warning in [*([images.passed_over] if images.passed_over else []), *extracted.warnings()]:
        print(f"! {warning}")
    header = statistics_header(images, extractor, output, geometry)
    write_statistics(args.output, moments(extracted.features[args.features], args.ddof), header)
    print(f"{args.output}: {len(images):,} images, {header['family']}")
    return 0

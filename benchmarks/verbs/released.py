"""Verb `released`: a published generator's own pictures made again, pixel by pixel."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "check a published generator against its publishers' pictures: same noise, same prompts, pixel agreement"
EXAMPLE = "sidbench released check sid-lsg-sd21-4.5 --code SiD-LSG"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("check",), help="what to do")
    parser.add_argument("name", metavar="NAME", help="a generator of `sidbench list released` with published pictures")
    parser.add_argument("--code", required=True, type=Path, metavar="DIR", help="a checkout of the publishers' code")
    parser.add_argument("--example", metavar="NAME", help="which of its pictures (default: all)")
    parser.add_argument(
        "--place", action="append", default=[], metavar="REPO=DIR", help="a folder that stands for a repository"
    )
    parser.add_argument("--device", help="of noise and images (default: a GPU, if there is one)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.suite.released import describe, released

    described = describe(args.name)
    examples = [its for its in described.examples if args.example in (None, its.name)]
    if not described.examples:
        having = ", ".join(name for name, its in released().items() if its.examples)
        raise Fault(f"{args.name}: its description names no published pictures; with some: {having}")
    if not examples:
        having = ", ".join(its.name for its in described.examples)
        raise Fault(f"{args.name} has no example '{args.example}'; it has {having}")
    places = _places(args.place)

    from benchmarks.hardware import chosen_device
    from benchmarks.run.examples import SAME, compare

    device = str(chosen_device(args.device or "auto"))
    if not device.startswith("cuda"):
        print(f"the publishers drew their noise on a GPU; on {device} it is another, and so is every picture")
    same = True
    for example in examples:
        print(f"{args.name}, {example.name}: {example.images}, {example.prompts}")
        for match in compare(described, example, args.code, places, Path(args.results) / "_examples", device):
            word = "the same picture" if match.same else "ANOTHER PICTURE"
            print(
                f"  {match.name}, seed {match.seed}: {word}: largest difference {match.largest} of 255, mean "
                f"{match.mean:.2f}, {match.psnr:.1f} dB (nearest other {match.nearest_other:.1f} dB)"
            )
            same = same and match.same
    whole = "all pictures agree" if same else "not all pictures agree"
    print(f"{whole}: the same is from {SAME:g} dB and nearer than any other")
    return 0 if same else 1


def _places(words: list[str]) -> dict[str, Path]:
    """The folders given for repositories."""
    places = {}
    for word in words:
        repository, equals, folder = word.partition("=")
        if not equals or not Path(folder).is_dir():
            raise Fault(f"--place takes REPO=DIR with a folder that exists (got '{word}')")
        places[repository] = Path(folder)
    return places

"""Every weight file: what it is for, its licence and sha256, where it is looked for, present or missing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.weights import Weight

HELP = "list weight files: present or missing, licence, sha256, where they are looked for, how to get them"
EXAMPLE = "sidbench weights fid aesthetic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="metrics or extractors (default: all)")
    parser.add_argument("--verify", action="store_true", help="read the present files and check their sha256")


def run(args: argparse.Namespace) -> int:
    from benchmarks.weights import find, places, verify

    missing = 0
    for weight, users in needed(args.names).items():
        path = find(weight)
        missing += path is None
        size = f"{path.stat().st_size:,} bytes" if path else f"{weight.size:,} bytes" if weight.size else "size unknown"
        print(f"{weight.name}: {'present' if path else 'missing'}")
        print(f"  for       {weight.purpose} ({', '.join(users)})")
        print(f"  file      {' or '.join(weight.files)}, {size}, {weight.licence}")
        print(f"  sha256    {verify(weight, path) if path and args.verify else weight.pinned}")
        if path:
            print(f"  found     {path}")
        else:
            folders = dict.fromkeys(str(place.parent) for place in places(weight))
            print(f"  looked in {', '.join(folders)}")
            print(f"  get       {weight.get}")
    print(f"{missing} missing; $SIDBENCH_WEIGHTS names the folder to put them in; nothing is ever downloaded")
    return 0


def needed(names: list[str]) -> dict[Weight, list[str]]:
    """Weight -> the metrics and extractors that read it, for those named or for all."""
    from benchmarks import components
    from sid.discovery import UnknownName

    users: dict[str, Any] = {**components.extractors(), **components.metrics()}
    for name in names:
        if name not in users:
            raise UnknownName("metric or extractor", name, users)
    found: dict[Weight, list[str]] = {}
    for name, component in users.items():
        if names and name not in names:
            continue
        extractors = {key.rpartition(".")[0] for key in getattr(component, "features", ())}
        read = [extractor for key, extractor in components.extractors().items() if key in extractors]
        for weight in [*component.weights, *(weight for extractor in read for weight in extractor.weights)]:
            found.setdefault(weight, []).append(name)
    return found

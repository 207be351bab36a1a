"""Lists weight files: purpose, licence, sha256, searched folders, present or missing."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.assets import Weight

HELP = "list weight files: present or missing, licence, sha256, where they are looked for, how to get them"
EXAMPLE = "sidbench weights fid aesthetic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "metrics, extractors, protocols or suites, by name or file (default: all metrics and extractors)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    parser.add_argument("--verify", action="store_true", help="read the present files and check their sha256")


def run(args: argparse.Namespace) -> int:
    from benchmarks.assets import WEIGHTS_ENV, find, searched_folders
    from benchmarks.machine.needs import weights_of

    weights = weights_of(args.names)
    missing, faults = 0, list[str]()
    for weight, users in weights.items():
        path = find(weight)
        missing += path is None
        size = f"{path.stat().st_size:,} bytes" if path else f"{weight.size:,} bytes" if weight.size else "size unknown"
        print(f"{weight.name}: {'present' if path else 'missing'}")
        print(f"  for       {weight.purpose} ({', '.join(users)})")
        print(f"  file      {' or '.join(weight.files)}, {size}, {weight.licence}")
        print(f"  sha256    {_checked(weight, path, faults) if path and args.verify else weight.pinned}")
        if path:
            print(f"  found     {path}")
        else:
            print(f"  looked in {', '.join(searched_folders(weight))}")
            print(f"  get       {weight.fetch_command}")
    if not weights:
        print(f"{' and '.join(args.names)}: no published weights are needed")
    else:
        where = f"${WEIGHTS_ENV} names the folder to put them in, as `get` says"
        print(f"{missing} of {len(weights)} missing; {where}; nothing is ever downloaded")
    for line in _models(args.names):
        print(line)
    if faults:
        raise Fault(faults)
    return 0


def _checked(weight: Weight, path: Path, faults: list[str]) -> str:
    """The sha256 of a present file; its faults are added to `faults`."""
    from benchmarks.assets import verify

    try:
        return verify(weight, path)
    except Fault as fault:
        faults += fault.sentences
        return "wrong, see below"


def _models(names: list[str]) -> Iterator[str]:
    """Points from a suite's metrics to its published teachers and generators, which other verbs list."""
    from benchmarks.machine.needs import is_suite, models_of
    from benchmarks.suite.load import load_suite

    for name in names:
        if is_suite(name) and (models := models_of(load_suite(name))):
            count = f"{len(models)} published teachers and generators"
            yield f"{name} also reads {count}: `sidbench plan {name}` names the missing ones, `doctor` counts them"

"""Every weight file: what it is for, its licence and sha256, where it is looked for, present or missing."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.assets import Weight
    from benchmarks.suite.protocol import Protocol

HELP = "list weight files: present or missing, licence, sha256, where they are looked for, how to get them"
EXAMPLE = "sidbench weights fid aesthetic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "metrics, extractors, protocols or suites, by name or file (default: all metrics and extractors)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    parser.add_argument("--verify", action="store_true", help="read the present files and check their sha256")


def run(args: argparse.Namespace) -> int:
    from benchmarks.assets import FOLDER, find, searched

    found = needed(args.names)
    missing, faults = 0, list[str]()
    for weight, users in found.items():
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
            print(f"  looked in {searched(weight)}")
            print(f"  get       {weight.get}")
    if not found:
        print(f"{' and '.join(args.names)}: no published weights are needed")
    else:
        where = f"${FOLDER} names the folder to put them in, as `get` says"
        print(f"{missing} of {len(found)} missing; {where}; nothing is ever downloaded")
    for line in _models(args.names):
        print(line)
    if faults:
        raise Fault(faults)
    return 0


def _checked(weight: Weight, path: Path, faults: list[str]) -> str:
    """The sha256 of a present file; what is wrong with it joins the others."""
    from benchmarks.assets import verify

    try:
        return verify(weight, path)
    except Fault as fault:
        faults += fault.sentences
        return "wrong, see below"


def _models(names: list[str]) -> Iterator[str]:
    """These are the networks of scores: where a suite's teachers and generators are told."""
    from benchmarks.machine.doctor import published

    for name in names:
        if _is_suite(name) and (wanted := published(name)):
            told = f"{len(wanted)} published teachers and generators"
            yield f"{name} also reads {told}: `sidbench plan {name}` names the missing ones, `doctor` counts them"


def needed(names: list[str]) -> dict[Weight, list[str]]:
    """Weight -> who reads it, for those named or for all."""
    from benchmarks.suite import components

    users = [*components.extractors(), *components.metrics()]
    found: dict[Weight, list[str]] = {}
    for name in names or users:
        for weight in _weights(name):
            if name not in found.setdefault(weight, []):
                found[weight].append(name)
    return found


def _weights(name: str) -> Iterator[Weight]:
    """Of one metric, extractor, protocol or suite."""
    from benchmarks.scoring.protocol import read
    from benchmarks.suite import components, files
    from benchmarks.suite.config import load_suite
    from sid.discovery import UnknownName

    extractors, metrics = components.extractors(), components.metrics()
    if name in extractors:
        yield from extractors[name].weights
    elif name in metrics:
        yield from metrics[name].weights
        yield from _of_extractors(key.rpartition(".")[0] for key in metrics[name].features)
    elif name in files.names("protocol"):
        yield from _of_columns(read(name))
    elif _is_suite(name):
        suite = load_suite(name)
        for protocol in dict.fromkeys(task.protocol for task in suite.tasks.values()):
            yield from _of_columns(suite.protocols[protocol])
    else:
        known = [*extractors, *metrics, *files.names("protocol"), *files.names("suite")]
        raise UnknownName("metric, extractor, protocol or suite", name, known)


def _is_suite(name: str) -> bool:
    from benchmarks.suite import components, files

    others = (*components.extractors(), *components.metrics(), *files.names("protocol"))
    return name not in others and (name in files.names("suite") or name.endswith((".yaml", ".yml")))


def _of_columns(protocol: Protocol) -> Iterator[Weight]:
    """What a protocol's metrics and their extractors read."""
    from benchmarks.preflight import read_by

    for column in protocol.metrics.values():
        yield from read_by(column)


def _of_extractors(names: Iterable[str]) -> Iterator[Weight]:
    from benchmarks.suite import components

    known: dict[str, Any] = dict(components.extractors())
    for name in names:
        yield from known[name].weights if name in known else ()

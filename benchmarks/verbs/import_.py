"""Converts a published .pkl or .pt to safetensors and JSON, the only formats that the suite loads."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "read a published .pkl or .pt (EDM, SiD, SiDA, EDM2) without running anything in it"
EXAMPLE = "sidbench import edm-cifar10-32x32-uncond-vp.pkl --to models/edm-cifar10"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the published file")
    parser.add_argument("--to", metavar="FOLDER", type=Path, help="folder to write (default: FILE without its ending)")
    parser.add_argument("--key", help="which network of the file (default: the averaged one, 'ema')")


def run(args: argparse.Namespace) -> int:
    from sid.teachers.pickles.edm_pickle import import_file

    folder = args.to if args.to is not None else args.file.with_suffix("")
    if folder == args.file:
        raise Fault(f"{args.file} has no ending, so its folder would have the same name; name a folder with --to")
    record = import_file(args.file, folder, args.key)
    print(f"{folder}: {record['class']} of the family {record['family']}, {record['tensors']} tensors")
    print(f"source sha256 {record['source']['sha256']}, weights sha256 {record['weights_sha256']}")
    for sentence in _build_faults(folder, record["family"]):
        print(f"note: {sentence}")
    return 0


def _build_faults(folder: Path, family: str) -> list[str]:
    """Reasons why the suite can't build this network, if any; the import is a faithful copy all the same."""
    from benchmarks.suite.components import teachers

    known = teachers()
    if family not in known:
        return [f"there is no teacher family '{family}' to build this network; the weights and the record are complete"]
    try:
        known[family].load(folder)
    except Fault as fault:
        return fault.sentences
    return []

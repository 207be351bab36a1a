"""Lists the data that a suite needs, present or missing, with the searched folders; prepares its references."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.machine.needs import DataNeed
    from benchmarks.suite.config import Suite

HELP = "list the data of a suite: present or missing, licence, where it is looked for; --prepare its references"
EXAMPLE = "sidbench data sd15 --prepare --device cuda"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a suite, a data set, NAME@PATH, a path, or prompts (default: all)"
    )
    parser.add_argument("--verify", action="store_true", help="open the present files and report every fault")
    parser.add_argument(
        "--prepare",
        action="store_true",
        help="compute features and statistics of a suite's references; the same command resumes",
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images at a time (default: 32)")
    parser.add_argument(
        "--random-weights", type=int, metavar="SEED", help="networks with random weights; every file says so"
    )


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import needs

    suite = _suite(args.name)
    if args.prepare and suite is None:
        raise Fault("--prepare computes a suite's references: name a suite")
    listed = (
        needs.data_of_suite(suite) if suite else needs.data_named(args.name) if args.name else needs.data_of_project()
    )
    for need in listed:
        _print(need)
    lacking = [need for need in listed if need.missing]
    where = "; put them into $SIDBENCH_DATA; nothing is ever downloaded" if lacking else ""
    print(f"{len(lacking)} of {len(listed)} missing{where}")
    if (args.verify or args.prepare) and (wrong := [sentence for need in listed for sentence in need.verify()]):
        raise Fault(wrong)
    if suite and args.prepare:
        return _prepare(suite, args)
    return 0


def _suite(name: str | None) -> Suite | None:
    """The suite of that name or file; None where the name is not a suite's."""
    from benchmarks.suite import files
    from benchmarks.suite.load import load_suite

    if name is None or not (name in files.names("suite") or name.endswith((".yaml", ".yml"))):
        return None
    return load_suite(name)


def _print(need: DataNeed) -> None:
    from benchmarks import assets

    if not need.files:
        print(f"{need.name}: nothing to fetch" + (f" ({', '.join(need.readers)})" if need.readers else ""))
        return
    print(f"{need.name}: {'missing' if need.missing else 'present'}")
    if need.readers:
        print(f"  for       {', '.join(need.readers)}")
    for file in need.files:
        if need.readers and not need.uses(file):
            continue
        path = need.find(file)
        print(f"  {'file' if file.needed and need.uses(file) else 'optional':<9} {file.purpose}: {file.words}")
        if path is not None:
            size = f", {path.stat().st_size:,} bytes" if path.is_file() else ""
            print(f"  found     {path}{size}")
        else:
            print(f"  looked in {', '.join(str(folder) for folder in assets.data_folders(need.owner, need.given))}")
            print(f"  get       {file.source}")


def _prepare(suite: Suite, args: argparse.Namespace) -> int:
    """Computes features and statistics of the references whose data and network are present; reports the others."""
    from tqdm import tqdm

    from benchmarks.data.open import open_dataset
    from benchmarks.features.extraction import extract_in_parts
    from benchmarks.features.store import Store
    from benchmarks.hardware import chosen_device
    from benchmarks.images.geometry import Geometry
    from benchmarks.machine import needs
    from benchmarks.metrics.statistics import ensure_statistics
    from benchmarks.scoring.score import ScoreSettings, open_extractor
    from benchmarks.suite.components import metrics

    shared, skipped = Path(args.results) / "_shared", 0
    settings = ScoreSettings(device=chosen_device(args.device), random_weights=args.random_weights)
    for reference in needs.references(suite):
        column, title = reference.column, f"{reference.data}, {reference.split}: {reference.column.features}"
        try:
            images = open_dataset(reference.data).source(reference.split)
            extractor = open_extractor(column.extractor, settings)
        except Fault as fault:
            print(f"{title}: left out: {' '.join(fault.sentences)}")
            skipped += 1
            continue
        if images.passed_over:
            print(f"{title}: {images.passed_over}")
        geometry = Geometry(**column.geometry.model_dump())
        store = Store(shared / "features")
        with tqdm(total=len(images), desc=title, unit="image", disable=None) as bar:
            outputs, extractors = {extractor.name: [column.output]}, {extractor.name: extractor}
            extracted = extract_in_parts(images, outputs, extractors, geometry, store, args.batch, done=bar.update)
        array = extracted.features[column.features]
        if metrics()[column.metric].from_statistics:
            ddof = int(column.options.get("ddof", 1))
            path = ensure_statistics(images, extractor, column.output, geometry, array, shared / "statistics", ddof)
            print(f"{title}: {len(images):,} images, {extractor.identity}, {path}")
        else:
            print(f"{title}: {len(images):,} images, {extractor.identity}, features stored")
    return 1 if skipped else 0

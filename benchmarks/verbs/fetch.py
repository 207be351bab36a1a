"""Downloads what a suite reads, for who has a network and accepts the licences; no other verb downloads anything."""

from __future__ import annotations

import argparse

HELP = "download the weights and published models that a suite lacks; --dry-run says what and how much"
EXAMPLE = "sidbench fetch cifar10 --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a suite, by name or file; or a metric, extractor or protocol")
    parser.add_argument("--only", action="append", metavar="NAME", help="tasks or rows, for example 'sid-lsg-*'")
    parser.add_argument("--dry-run", action="store_true", help="print what would be fetched, and fetch nothing")
    parser.add_argument("--accept-licences", action="store_true", help="you accept the licence of each listed file")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from benchmarks.machine import fetch, needs
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.selection import cut_down, matching, with_origins
    from sid.fault import Fault

    suite = load_suite(args.name) if needs.is_suite(args.name) else None
    if args.only and suite is None:
        raise Fault(f"--only names rows of a suite, and {args.name} is none")
    if args.only and suite is not None:
        rows = matching(suite, args.only)
        suite = cut_down(suite, {origin for row in rows for origin in with_origins(suite, row)})
    downloads = fetch.wanted(suite) if suite is not None else fetch.weights([args.name])
    for item in downloads:
        print("\n".join(item.lines))
    for line in fetch.by_hand(suite) if suite is not None else ():
        print(f"by hand: {line}")
    known, unknown = sum(item.size for item in downloads), sum(not item.size for item in downloads)
    print(f"{len(downloads)} to fetch: {known:,} bytes" + (f", and {unknown} of a size nobody states" * bool(unknown)))
    if args.dry_run or not downloads:
        return 0
    if not args.accept_licences:
        raise Fault("nothing was fetched: the licences above are yours to read; --accept-licences says that you do")
    faults: list[str] = []
    for item in downloads:
        with tqdm(total=item.size or None, desc=item.name, unit="B", unit_scale=True, disable=None) as bar:
            try:
                fetch.fetch(item, bar.update)
            except Fault as fault:
                faults += fault.sentences
    if faults:
        raise Fault(faults)
    return 0

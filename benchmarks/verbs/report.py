"""Verb `report`: writes the page of a suite, one HTML file that needs no network."""

from __future__ import annotations

import argparse
from pathlib import Path

from sid.fault import Fault

HELP = "make the page of suites or result folders: verdicts, curves, samples, cost, provenance"
EXAMPLE = "sidbench report mini"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("named", nargs="+", metavar="SUITE|FOLDER", help="suites, or folders of results to join")
    parser.add_argument("--output", nargs="+", metavar="FILE", help=argparse.SUPPRESS)  # of the workflow: its files
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the page (default: beside the runs)")


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import launch
    from benchmarks.machine.runnable import explained
    from benchmarks.report import audit, page
    from benchmarks.report.claims import ClaimSection
    from benchmarks.tables import filled
    from benchmarks.tables.across import across
    from benchmarks.tables.gather import gather
    from benchmarks.tables.papers import lines, tables
    from benchmarks.tables.recipes import notes

    gathered = gather(args.named, launch.results_of(args, "report"))
    if args.out and len(gathered) > 1:
        raise Fault("--out takes the page of one suite; here are " + ", ".join(its.suite.name for its in gathered))
    for suite in gathered:
        layout = suite.layout
        rows = explained(suite.suite, suite.rows())
        extras = page.Extras(
            printed=[row for task in layout.tasks for row in lines(task.name)],
            audits=audit.read(suite.home),
            notes=notes(suite.suite),
            claims=ClaimSection(*suite.answers()),
            papers=filled.of_suite(tables(), suite.suite, rows),
            across=across(suite.suite, rows),
        )
        print(page.write(layout, rows, args.out or suite.home / "report", extras))
    return 0

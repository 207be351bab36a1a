"""Verb `table`: writes tables and answers to claims beside the runs; the papers' own tables too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.tables.gather import Gathered
    from benchmarks.tables.rows import Row

HELP = "make the tables of suites or result folders: published, reference, reproduced, verdict"
EXAMPLE = "sidbench table mini"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("named", nargs="+", metavar="SUITE|FOLDER", help="suites, or folders of results to join")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the tables (default: beside the runs)")
    parser.add_argument(
        "--paper",
        action="store_true",
        help="make the papers' own tables too, printed beside reproduced; needs no run",
    )
    parser.add_argument("--output", nargs="+", metavar="FILE", help=argparse.SUPPRESS)  # of the workflow: its files
    parser.add_argument("--quiet", action="store_true", help="print no table")
    parser.add_argument(
        "--as-reference",
        action="store_true",
        help="write the runs of seeds 100, 101 and 102 as the reference that others are compared with",
    )


def run(args: argparse.Namespace) -> int:
    from benchmarks.machine import launch
    from benchmarks.machine.runnable import explained
    from benchmarks.tables import answers_typeset, committed, typeset
    from benchmarks.tables.across import across
    from benchmarks.tables.gather import gather
    from sid import atomic

    gathered = gather(
        args.named, launch.results_of(args, "table"), committed.SEEDS if args.as_reference else (), args.paper
    )
    if args.out and len(gathered) > 1:
        raise Fault("--out takes the tables of one suite; here are " + ", ".join(its.suite.name for its in gathered))
    for suite in gathered:
        if args.as_reference:
            rows = suite.rows(compared=False)
            file = committed.write(suite.suite.name, rows, args.out or committed.REFERENCE_DIR)
            dirty = any(run.record.get("dirty") for row in rows for run in row.runs)
            print(f"{file}{': made with uncommitted changes; commit them first and run again' if dirty else ''}")
            continue
        rows, title = explained(suite.suite, suite.rows()), suite.suite.title or suite.suite.name
        folder = args.out or suite.home / "tables"
        if args.paper:
            _write_papers(suite, rows, folder / "papers")
        if not suite.runs:
            continue
        shown = typeset.as_markdown(title, rows, across(suite.suite, rows))
        atomic.write_text(folder / "verdict.csv", typeset.as_csv(rows))
        atomic.write_text(folder / "verdict.md", shown)
        atomic.write_text(folder / "verdict.tex", typeset.as_latex(title, rows))
        answers, elsewhere = suite.answers()
        atomic.write_text(folder / "claims.csv", answers_typeset.as_csv(answers))
        atomic.write_text(folder / "claims.md", answers_typeset.as_markdown(title, answers, elsewhere))
        if not args.quiet:
            print(shown)
        print(f"{folder}/verdict.md, .csv, .tex; claims.md, .csv")
    return 0


def _write_papers(suite: Gathered, rows: Sequence[Row], folder: Path) -> None:
    """The papers' own tables that hold a number of the suite's tasks, and a list of them."""
    from benchmarks.tables import filled, paper_text, papers
    from sid import atomic

    tables = filled.of_suite(papers.tables(), suite.suite, rows)
    for table in tables:
        for suffix, text in paper_text.written(table).items():
            atomic.write_text(folder / f"{table.table.name}{suffix}", text)
    atomic.write_text(folder / "index.md", paper_text.as_index(suite.suite.title or suite.suite.name, tables))
    print(f"{folder}/: {len(tables)} tables of papers, listed in index.md")

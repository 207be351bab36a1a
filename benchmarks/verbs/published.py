"""Verb `published`: lists printed numbers and the open cells of the papers' tables, and checks a file of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.tables.published import Cell, Published

HELP = "list printed numbers, what nobody here could read (--missing), or check a table that you filled (--check)"
EXAMPLE = "sidbench published --missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="a suite's name or file (default: every number)")
    parser.add_argument(
        "--missing",
        action="store_true",
        help="open cells by paper and table; of a suite, its cells without a number in the authors' words",
    )
    parser.add_argument("--check", type=Path, metavar="FILE", help="report every fault of a printed table's file")


def run(args: argparse.Namespace) -> int:
    if args.check is not None:
        return _check(args.check)
    if args.missing:
        if args.suite:
            _print_missing(args.suite)
        else:
            _print_open()
        print("with the paper at hand, fill the table's file in benchmarks/papers/ and run: published --check FILE")
    elif args.suite:
        _print_suite(args.suite)
    else:
        from benchmarks.tables.papers import every

        _print(every())
    return 0


OWN = ("untrained", "heldout")  # our own controls, which no paper reports


def cells(suite: str) -> list[Cell]:
    """The cells of a suite's tables that a paper may print, in their order."""
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.plan import Plan
    from benchmarks.tables.layout import layout_of

    tasks = layout_of(Plan(load_suite(suite))).tasks
    return [
        (task.name, line.entry, column.name)
        for task in tasks
        for line in task.lines
        if line.kind not in OWN
        for column in task.columns
    ]


def _print_open() -> None:
    """The open cells of all tables: what a paper prints and nobody here could read."""
    from benchmarks.suite import files
    from benchmarks.tables.papers import tables

    for table in tables():
        if wanted := [*table.open_cells]:
            print(f"{table.title}: {len(wanted)} open, in {files.shown(table.file)}")
        for label, column, why in wanted:
            print(f"  {label}, {column}: {why}")


def _print_suite(suite: str) -> None:
    """The numbers of the suite's cells, those shown beside its tables, and those without a cell in it."""
    from benchmarks.tables.papers import lines, published

    wanted = cells(suite)
    tasks = dict.fromkeys(task for task, _, _ in wanted)
    printed = [published()[cell] for cell in wanted if cell in published()]
    _print(dict.fromkeys(printed))
    print(f"{len(printed)} of {len(wanted)} cells have a printed number")
    beside = [row for task in tasks for row in lines(task)]
    if beside:
        print("\nbeside the tables:")
        _print(beside)
    idle = [row for cell, row in published().items() if cell[0] in tasks and not {*row.cells} & {*wanted}]
    if idle:
        print("\nof these tasks, with no cell in this suite:")
        _print(dict.fromkeys(idle))


def _print_missing(suite: str) -> None:
    """Cells without a printed number, and those whose number is not in the authors' own words."""
    from benchmarks.tables.papers import published
    from benchmarks.tables.published import KINDS

    wanted = cells(suite)
    holes = [cell for cell in wanted if cell not in published()]
    others = [cell for cell in wanted if cell in published() and not published()[cell].authors]
    print(f"{suite}: {len(holes)} of {len(wanted)} cells have no printed number, {len(others)} not the authors' own")
    for cell in holes:
        print(f"  {'/'.join(cell)}: no number")
    for cell in others:
        row = published()[cell]
        print(f"  {'/'.join(cell)}: {row.text}, {KINDS[row.source_kind]}")


def _check(file: Path) -> int:
    from benchmarks.tables.papers import check

    table, wrong = check(file)
    if table is None or wrong:
        raise Fault(wrong)
    rows = [*table.numbers]
    _print(rows)
    print(f"{file}: {len(rows)} numbers, {len([*table.open_cells])} cells open, nothing wrong")
    return 0


def _print(rows: Iterable[Published]) -> None:
    """One line per number; all columns but the last have equal widths."""
    table = [*_columns(rows)]
    widths = [max((len(line[column]) for line in table), default=0) for column in range(3)]
    for line in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, (*widths, 0), strict=True)).rstrip())


def _columns(rows: Iterable[Published]) -> Iterator[tuple[str, str, str, str]]:
    for row in rows:
        mark = "" if row.role == "cell" else f"({row.role}) "
        yield "/".join((row.task, row.entry, row.metric)), row.text, row.method, mark + row.words

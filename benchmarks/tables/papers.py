"""What papers print: `benchmarks/papers/<paper>/table-*.yaml`, and what only gives context, `context*.yaml`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from benchmarks.suite import files
from benchmarks.suite.files import PAPERS_DIR
from benchmarks.tables import sheet
from benchmarks.tables.published import KINDS, Cell, Published
from benchmarks.tables.sheet import PrintedTable
from sid.discovery import unknown
from sid.fault import Fault


@lru_cache
def sheets(folder: Path = PAPERS_DIR) -> tuple[PrintedTable, ...]:
    """Every file, paper by paper; the faults of all files are raised together."""
    read = [sheet.read(file) for file in files.sheets(folder)]
    tables = tuple(table for table, _ in read if table is not None)
    wrong = [sentence for _, faulty in read for sentence in faulty]
    wrong += _contradictions(number for table in tables for number in table.numbers)
    if wrong:
        raise Fault(wrong)
    return tables


def tables(folder: Path = PAPERS_DIR) -> tuple[PrintedTable, ...]:
    """The printed tables, without the files of context."""
    return tuple(table for table in sheets(folder) if table.file.name.startswith("table-"))


@lru_cache
def every(folder: Path = PAPERS_DIR) -> tuple[Published, ...]:
    """Every printed number, file by file."""
    return tuple(number for table in sheets(folder) for number in table.numbers)


@lru_cache
def published(folder: Path = PAPERS_DIR) -> Mapping[Cell, Published]:
    """The numbers that cells are compared with, by (task, entry, metric)."""
    return {cell: row for row in every(folder) if row.role == "cell" for cell in row.cells}


def lines(task: str, folder: Path = PAPERS_DIR) -> list[Published]:
    """Numbers of a task that are shown beside its table: of methods that are no entry of ours."""
    return [row for row in every(folder) if row.role == "line" and row.task == task]


def check(file: Path, folder: Path = PAPERS_DIR) -> tuple[PrintedTable | None, list[str]]:
    """A file to be added, with every fault: its own, and what contradicts the other files and the suites.

    A file of the same paper and table takes the place of the shipped one.
    """
    table, wrong = sheet.read(file)
    mine = list(table.numbers) if table is not None else []
    cells = {cell for row in mine if row.role == "cell" for cell in row.cells}
    agreeing = []
    for path in files.sheets(folder):
        other = _shipped(path)
        if other is None or path.resolve() == file.resolve() or (table is not None and other.title == table.title):
            continue
        clashing = [row for row in other.numbers if row.role == "cell" and cells & {*row.cells}]
        agreeing += [row for row in other.numbers if row not in clashing]
        for row in clashing:
            names = ", ".join("/".join(cell) for cell in row.cells if cell in cells)
            place = f"{files.shown(path)} already ({KINDS[row.source_kind]})"
            wrong.append(f"{names} stands in {place}: make one `again`")
    wrong += _contradictions([*agreeing, *mine])
    wrong += dict.fromkeys(_unknown_cells(table) if table is not None else ())
    return table, [sentence if str(file) in sentence else f"{files.shown(file)}: {sentence}" for sentence in wrong]


@lru_cache
def _shipped(file: Path) -> PrintedTable | None:
    """A file of the folder as it is, read once."""
    return sheet.read(file)[0]


@lru_cache
def _known() -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """The columns and the entries of every shipped task."""
    from benchmarks.suite.load import load_suite

    metrics: dict[str, set[str]] = {}
    entries: dict[str, set[str]] = {}
    for suite in map(load_suite, files.names("suite")):
        for name, task in suite.tasks.items():
            metrics.setdefault(name, set()).update(suite.protocols[task.protocol].metrics)
            entries.setdefault(name, set()).update(suite.entries_of(name))
    return metrics, entries


def _unknown_cells(table: PrintedTable) -> Iterator[str]:
    """Columns and entries that shipped tasks don't have, and tasks whose name is close to a shipped one.

    A task with a name of its own belongs to a suite of the user.
    """
    metrics, entries = _known()
    filled = [cell for row in table.rows for printed in row.cells.values() for cell in printed.cells]
    for task, entry, metric in filled:
        if task not in metrics:
            if get_close_matches(task, metrics):
                yield unknown("task", task, metrics)
            continue
        if entry not in entries[task]:
            yield f"{unknown(f'entry of {task}', entry, entries[task])}; a row that no entry fills has a `line`"
        if metric not in metrics[task]:
            yield unknown(f"metric of {task}", metric, metrics[task])


def _contradictions(rows: Iterable[Published]) -> list[str]:
    """Cells with two numbers, and rows that come `again` whose cell has no number."""
    rows = list(rows)
    times = Counter(cell for row in rows if row.role == "cell" for cell in row.cells)
    twice = [
        f"{'/'.join(cell)} is given twice: keep one, and say of the other that it comes `again`"
        for cell in times
        if times[cell] > 1
    ]
    lost = [cell for row in rows if row.role == "again" for cell in row.cells if cell not in times]
    return twice + [f"{'/'.join(cell)} comes again, and no other row gives it" for cell in dict.fromkeys(lost)]

"""A printed table beside the runs: each cell printed and reproduced, or the reason why one of the two is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.suite.config import Suite
from benchmarks.tables.published import Cell, Published
from benchmarks.tables.rows import Row
from benchmarks.tables.sheet import PrintedCell, PrintedRow, PrintedTable, SheetColumn
from benchmarks.tables.verdict import INCOMPLETE, NOT_RUN, OUTDATED, fixed

ELSEWHERE, NOT_SCORED = "not in this suite", "not scored here"
GROUP = "group"  # the column that shows the groups' names; without it they are headings
LEGEND = (
    "Each cell: printed | reproduced ± sample standard deviation over the seeds. A cell without a bar is of a method "
    "that is no entry of any suite here."
)


@dataclass(frozen=True)
class FilledCell:
    """One cell of a column of numbers."""

    printed: str  # the number as printed, why it is open, or nothing
    reproduced: str = ""  # mean ± spread, or why there is none; nothing where no entry stands for the row
    best: bool = False
    is_open: bool = False
    is_run: bool = False


@dataclass(frozen=True)
class FilledGroup:
    """Rows between two rules: one text or cell a column."""

    name: str
    rows: tuple[tuple[str | FilledCell, ...], ...]


@dataclass(frozen=True)
class FilledTable:
    """A printed table with all that is shown of it."""

    table: PrintedTable
    columns: tuple[tuple[str, SheetColumn], ...]
    groups: tuple[FilledGroup, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many of its numbers are printed here, open, and reproduced."""
        cells = [cell for group in self.groups for row in group.rows for cell in row if isinstance(cell, FilledCell)]
        is_open = sum(cell.is_open for cell in cells)
        return sum(bool(cell.printed) for cell in cells) - is_open, is_open, sum(cell.is_run for cell in cells)


def of_suite(tables: Iterable[PrintedTable], suite: Suite, rows: Sequence[Row]) -> list[FilledTable]:
    """The printed tables that hold a number of the suite's tasks, filled with its runs.

    Tables that no entry of any suite fills come with the others of their paper.

    Args:
        tables: the printed tables.
        suite: its tasks choose the tables.
        rows: the cells of the suite's tables.
    """
    cells = {(row.task.name, row.line.entry, row.column.name): row for row in rows}
    lacking = {name: missing_data(suite, name) for name in suite.tasks}
    tables = list(tables)
    papers = {table.sheet.paper for table in tables if table.tasks & {*suite.tasks}}
    chosen = [
        table
        for table in tables
        if table.tasks & {*suite.tasks} or (table.sheet.paper in papers and not table.has_entries)
    ]
    return [_filled(table, cells, lacking) for table in chosen]


def missing_data(suite: Suite, task: str) -> list[str]:
    """The data sets that a task reads and that are not on this machine."""
    from benchmarks.data.base import FileDataset
    from benchmarks.data.open import datasets

    settings = suite.tasks[task]
    columns = suite.protocols[settings.protocol].metrics.values()
    read = [suite.teachers[settings.teacher].data, *(column.reference.data for column in columns if column.reference)]
    missing = []
    for name in dict.fromkeys(name for name in read if name):
        dataset = datasets().get(name)
        if isinstance(dataset, FileDataset) and not all(dataset.find(file) for file in dataset.files):
            missing.append(name)
    return missing


def _filled(table: PrintedTable, cells: Mapping[Cell, Row], lacking: Mapping[str, Sequence[str]]) -> FilledTable:
    columns = tuple(table.sheet.columns.items())
    best = _best(table)
    groups = []
    for group, rows in table.groups:
        shown = []
        for row in rows:
            texts = {**row.texts, GROUP: group.name}
            shown.append(
                tuple(
                    texts[name] if column.metric is None else _cell(row, name, cells, lacking, best)
                    for name, column in columns
                )
            )
        groups.append(FilledGroup(group.name, tuple(shown)))
    return FilledTable(table, columns, tuple(groups), tuple(_notes(table)))


def _cell(
    row: PrintedRow, name: str, cells: Mapping[Cell, Row], lacking: Mapping[str, Sequence[str]], best: set[int]
) -> FilledCell:
    cell = row.cells.get(name)
    if cell is None:
        return FilledCell("")
    ours = [cells[key] for key in cell.cells if key in cells]
    ours.sort(key=lambda its: not its.values)  # of several entries with one number, one that has run
    reproduced = ""
    if cell.cells and not ours:
        known = {key[:2] for key in cells}
        reproduced = NOT_SCORED if any(key[:2] in known for key in cell.cells) else ELSEWHERE
    if ours:
        reproduced = _reproduced(ours[0], lacking.get(ours[0].task.name, ()))
    is_run = bool(ours and ours[0].values)
    return FilledCell(cell.text or cell.open, reproduced, id(cell) in best, bool(cell.open), is_run)


def _reproduced(row: Row, lacking: Sequence[str]) -> str:
    """Mean and spread, or in a word why there are none."""
    if row.mean is None:
        return f"needs {', '.join(lacking)}" if row.judgement.word == NOT_RUN and lacking else row.judgement.word
    text = fixed(row.mean, row.column.decimals) + (f" ± {row.spread_shown}" if row.spread_shown else "")
    if row.random:
        return f"{text} (random weights)"
    return f"{text} ({row.judgement.word})" if row.judgement.word in (INCOMPLETE, OUTDATED) else text


def _best(table: PrintedTable) -> set[int]:
    """The cells that are printed bold, by identity: the best of each column among the rows that the paper compares."""
    compared = [rows for group, rows in table.groups if group.best]
    if table.sheet.best is None:
        return set()
    if table.sheet.best == "table":
        compared = [tuple(row for rows in compared for row in rows)]
    best: set[int] = set()
    for name, column in table.sheet.columns.items():
        for rows in compared:
            best |= _best_of(column, [row.cells[name] for row in rows if name in row.cells])
    return best


def _best_of(column: SheetColumn, cells: Iterable[PrintedCell]) -> set[int]:
    values = {id(cell): cell.numbers[0].value for cell in cells if cell.numbers}
    if column.better is None or len(values) < 2:
        return set()
    top = (min if column.better == "lower" else max)(values.values())
    return {key for key, value in values.items() if value == top}


def _notes(table: PrintedTable) -> Iterator[str]:
    """Where its numbers were read, the most of them first; then what is said of single rows."""
    sources: dict[str, list[str]] = {}
    said: dict[str, dict[str, None]] = {}
    for group, row in table.grouped:
        label = f"{group.name}, {row.label}" if GROUP in table.sheet.columns else row.label
        for name, cell in row.cells.items():
            for number in cell.numbers:
                column = table.sheet.columns[name]
                heading = " ".join(filter(None, (column.over, column.label or name)))
                sources.setdefault(_source(number), []).append(f"{label}, {heading} {number.text}")
                if number.note and number.role != "also":
                    said.setdefault(number.note, {})[label] = None
    for place, (source, cells) in enumerate(sorted(sources.items(), key=lambda item: -len(item[1]))):
        yield source if place == 0 else f"{source}: {'; '.join(cells)}"
    whole = sum(1 for _ in table.rows)
    for note, labels in said.items():
        yield note if len(labels) == whole > 1 else f"{', '.join(labels)}: {note}"


def _source(number: Published) -> str:
    """As `Published.words`, without its note."""
    return number.model_copy(update={"note": ""}).words

"""One table a task: methods as rows, metrics as columns, the best value of each column marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tables.layout import Line, TableColumn
from benchmarks.tables.rows import ORDER, Row
from benchmarks.tables.summary import best_of
from benchmarks.tables.verdict import fixed

GROUPS = ("teacher", "methods", "controls")


@dataclass(frozen=True)
class MatrixCell:
    """One method's value of one metric."""

    row: Row
    value: str
    best: bool
    tip: str  # the value, its seeds and what it is compared with, in words
    anchor: str  # the id of its row in the metric's own table


@dataclass(frozen=True)
class MatrixLine:
    """One row of the table; None where the metric has no cell."""

    line: Line
    steps: int | None
    cells: tuple[MatrixCell | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The table of one task."""

    columns: tuple[TableColumn, ...]
    groups: tuple[tuple[str, tuple[MatrixLine, ...]], ...]  # by the words of GROUPS, without empty ones


def matrix(rows: Sequence[Row]) -> Matrix:
    """The table of one task's rows: the teacher, the methods, the controls, each in the suite's order."""
    columns = tuple(dict.fromkeys(row.column for row in rows))
    cells = {(row.line.entry, row.column.name): row for row in rows}
    best = {column.name: best_of(rows, column) for column in columns}
    grouped: dict[str, list[MatrixLine]] = {name: [] for name in GROUPS}
    for entry in dict.fromkeys(row.line.entry for row in rows):
        across = [cells.get((entry, column.name)) for column in columns]
        first = next(row for row in across if row is not None)
        made = tuple(_cell(row, row is best[row.column.name]) if row is not None else None for row in across)
        group = GROUPS[ORDER.get(first.line.kind, 2)]
        grouped[group].append(MatrixLine(first.line, first.steps, made))
    return Matrix(columns, tuple((name, tuple(lines)) for name, lines in grouped.items() if lines))


def anchor(row: Row) -> str:
    """The id of a cell's row in its metric's own table."""
    return f"cell-{row.task.name}-{row.column.name}-{row.line.entry}"


def tip(row: Row) -> str:
    """A cell in words: value, spread, seeds, what it is compared with."""
    texts, digits = row.texts(), row.column.decimals + 1
    if not texts["reproduced"]:
        return f"{row.line.label}, {row.column.name}: {row.judgement.text}"
    spread = f" ± {texts['spread']} (sample standard deviation)" if texts["spread"] else ""
    seeds = ", ".join(f"{seed}: {fixed(value, digits)}" for seed, value in row.values.items())
    words = [f"{row.line.label}, {row.column.name}: {texts['reproduced']}{spread}", f"seeds {seeds}"]
    if row.target is not None:
        name = "published" if row.published is not None else "reference"
        words.append(f"{name} {row.target.text}, deviation {texts['deviation']}")
    return "; ".join([*words, row.judgement.text])


def _cell(row: Row, best: bool) -> MatrixCell:
    return MatrixCell(row, row.texts()["reproduced"], best, tip(row), anchor(row))

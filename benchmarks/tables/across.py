"""The same methods on several tasks, side by side: the table that a suite's section `across` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.suite import components
from benchmarks.suite.config import Suite
from benchmarks.tables.layout import TableColumn, TableTask
from benchmarks.tables.rows import Row

PROCESSES = {"edm": "EDM", "vp": "VP", "flow": "flow matching"}


@dataclass(frozen=True)
class AcrossSide:
    """One task as a column: its teacher's kind, and the first metric of its protocol."""

    task: TableTask
    column: TableColumn
    process: str

    @property
    def head(self) -> str:
        return f"{self.process}: {self.task.title}, {self.column.name} ({self.column.better})"


@dataclass(frozen=True)
class Across:
    """The table: of each row its label and a cell for every side, None where the task shows no such entry."""

    title: str
    sides: tuple[AcrossSide, ...]
    lines: tuple[tuple[str, tuple[Row | None, ...]], ...]

    @property
    def texts(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each row's label and its cells: the mean over the seeds and its spread, or why there is none."""
        return [(label, tuple(_text(cell) for cell in cells)) for label, cells in self.lines]


def across(suite: Suite, rows: Sequence[Row]) -> Across | None:
    """The suite's table over its tasks, no ranking of them; None where the suite asks for none."""
    section = suite.across
    if section is None:
        return None
    cells = {(row.task.name, row.line.entry, row.column.name): row for row in rows}
    tasks = {row.task.name: row.task for row in rows}
    sides = tuple(_side(suite, tasks[name]) for name in section.tasks)
    lines = tuple(
        (
            label,
            tuple(
                cells.get((side.task.name, entry, side.column.name)) for side, entry in zip(sides, entries, strict=True)
            ),
        )
        for label, entries in section.rows.items()
    )
    return Across(section.title, sides, lines)


def _side(suite: Suite, task: TableTask) -> AcrossSide:
    family = components.teachers()[suite.teachers[suite.tasks[task.name].teacher].family]
    return AcrossSide(task, task.columns[0], PROCESSES[family.process])


def _text(cell: Row | None) -> str:
    if cell is None:
        return ""
    value = cell.texts()["reproduced"]
    if not value:
        return cell.judgement.word
    spread = f" ± {cell.spread_shown}" if cell.spread_shown else ""
    return f"{value}{spread}" + (" (random weights)" if cell.random else "")

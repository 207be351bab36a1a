"""One printed table as a YAML file: caption, columns, groups of rows, and each number with its source.

A number is text, as printed ("16.10"); `~` is one that the paper prints and nobody here could read: an open cell. Where
a row gives no key for a column, the paper prints nothing. A row or a cell may override what the table says of its
source. Files of context have the same form; their numbers are listed, not typeset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from benchmarks.suite import files
from benchmarks.suite.strict import Count, Many, Name, Strict, faults, numbers
from benchmarks.tables.published import Cell, Published, SourceKind
from sid.discovery import unknown
from sid.fault import Fault

PRINTED = re.compile(r"-?\d+(\.\d+)?")
UNREAD = "not readable"


class SourceOf(Strict):
    """What a table, row or cell says of its numbers; the narrower one wins."""

    task: Name | None = None
    method: str | None = None
    teacher: str | None = None
    guidance: str | None = None
    steps: Count | None = None
    paper: str | None = Field(None, description="the one that prints the number")
    arxiv: str | None = None
    table: str | None = None
    protocol: str | None = Field(None, description="how it was measured, as far as the text says")
    source: str | None = Field(None, description="where the number was read")
    source_kind: SourceKind | None = None
    note: str | None = None


class SheetColumn(Strict):
    """A column of a printed table: text, or the numbers of one metric."""

    label: str = Field("", description="as printed; the column's own name if empty")
    over: str = Field("", description="a heading that it shares with its neighbours")
    metric: Name | None = Field(None, description="of a protocol's columns; a column without one is text")
    better: Literal["lower", "higher"] | None = None
    task: Name | None = Field(None, description="in place of the table's")
    teacher: str | None = None


class SheetGroup(Strict):
    """Rows between two rules."""

    name: str = Field("", description="its heading, or its text in a column `group`")
    best: bool = Field(True, description="false: none of its numbers is printed bold, as for a teacher's rows")
    rows: Many[dict[str, Any]] = Field(min_length=1)


class Sheet(SourceOf):
    """A file `table-*.yaml` or `context*.yaml`."""

    paper: str
    table: str
    caption: str = Field("", description="in our words")
    adds: str = Field("", description="what its numbers add to those of other tables")
    best: Literal["group", "table"] | None = Field(None, description="among which rows the paper prints the best bold")
    open: str = Field(UNREAD, description="why its open cells are open")
    columns: dict[Name, SheetColumn] = Field(min_length=1)
    groups: Many[SheetGroup] = Field(min_length=1)


class SheetRow(SourceOf):
    """A row's keys that are no column."""

    entry: Name | None = Field(None, description="of a suite, which fills the row")
    line: Name | None = Field(None, description="a name for a row that no entry of ours fills")
    same: Many[Name] = Field((), description="other entries of the task with the same numbers")
    lines: Many[Name] = Field((), description="the columns whose numbers no column of a suite stands for")
    again: bool | Many[Name] = Field(False, description="the columns whose numbers stand at another place already")


class OtherSource(SourceOf):
    """The same number where someone else prints or quotes it."""

    printed: str


class SheetCell(SourceOf):
    """A cell that differs from its row."""

    printed: str | None = None
    same: Many[Name] | None = None
    again: bool | None = None
    also: Many[OtherSource] = Field((), description="other sources of this cell")
    open: str = Field("", description="why it is open")


@dataclass(frozen=True)
class PrintedCell:
    """A cell of a column of numbers: what is printed there, and the suites' cells that fill it."""

    text: str  # as printed; empty if it is open or if the paper prints nothing
    open: str = ""  # why it is open
    numbers: tuple[Published, ...] = ()  # its number; then the other sources of it
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class PrintedRow:
    """A row's texts and numbers, by column."""

    label: str  # what it is called in a sentence
    texts: Mapping[str, str]
    cells: Mapping[str, PrintedCell]


@dataclass(frozen=True)
class PrintedTable:
    """A valid file."""

    file: Path
    sheet: Sheet
    groups: tuple[tuple[SheetGroup, tuple[PrintedRow, ...]], ...]

    @property
    def name(self) -> str:
        """Paper and table, as its results are called."""
        return f"{self.file.parent.name}-{self.file.stem}"

    @property
    def title(self) -> str:
        arxiv = f" (arXiv {self.sheet.arxiv})" if self.sheet.arxiv else ""
        return f"{self.sheet.paper}{arxiv}, {self.sheet.table}"

    @property
    def rows(self) -> Iterator[PrintedRow]:
        return (row for _, row in self.grouped)

    @property
    def grouped(self) -> Iterator[tuple[SheetGroup, PrintedRow]]:
        return ((group, row) for group, rows in self.groups for row in rows)

    @property
    def has_entries(self) -> bool:
        """Whether an entry of a suite fills any of its cells."""
        return any(cell.cells for row in self.rows for cell in row.cells.values())

    @property
    def numbers(self) -> Iterator[Published]:
        return (number for row in self.rows for cell in row.cells.values() for number in cell.numbers)

    @property
    def tasks(self) -> set[str]:
        """The tasks of its cells, open ones included."""
        filled = {cell[0] for row in self.rows for printed in row.cells.values() for cell in printed.cells}
        return filled | {number.task for number in self.numbers} | ({self.sheet.task} if self.sheet.task else set())

    @property
    def open_cells(self) -> Iterator[tuple[str, str, str]]:
        """Label of the row, column and reason of each open cell."""
        for group, row in self.grouped:
            label = f"{group.name}, {row.label}" if group.name else row.label
            yield from ((label, name, cell.open) for name, cell in row.cells.items() if cell.open)


def read(file: Path) -> tuple[PrintedTable | None, list[str]]:
    """The table of a file with its valid rows, and one sentence per fault."""
    shown = files.shown(file)
    try:
        sheet = files.validated(Sheet, file, files.read(file))
    except Fault as fault:
        return None, fault.sentences
    wrong: list[str] = []
    groups = []
    for place, group in enumerate(sheet.groups):
        rows = []
        for number, content in enumerate(group.rows):
            row, faulty = _row(sheet, content)
            wrong += [f"{shown}: {'.'.join(('groups', str(place), 'rows', str(number), *at))}: {w}" for at, w in faulty]
            rows.append(row)
        groups.append((group, tuple(rows)))
    return PrintedTable(file, sheet, tuple(groups)), wrong


Faults = list[tuple[tuple[str, ...], str]]
SHOWN = ("method", "teacher", "guidance", "steps")  # keys of a row that a column of that name shows


def _row(sheet: Sheet, content: Mapping[str, Any]) -> tuple[PrintedRow, Faults]:
    known = (*SheetRow.model_fields, *sheet.columns)
    wrong: Faults = [((str(key),), unknown("key or column", str(key), known)) for key in content if key not in known]
    row, faulty = _checked(SheetRow, {key: value for key, value in content.items() if key in SheetRow.model_fields})
    wrong += faulty
    texts, cells = {}, {}
    for name, column in sheet.columns.items():
        if column.metric is None:
            value = _merged(sheet, row).get(name) if row is not None and name in SHOWN else content.get(name)
            texts[name] = "" if value is None else str(value)
            if isinstance(value, float):
                wrong.append(((name,), _quoted(value)))
        elif name in content and row is not None:
            cells[name], faulty = _cell(sheet, column, row, name, content[name])
            wrong += [((name, *at), what) for at, what in faulty]
    if row is not None and cells and (row.entry is None) == (row.line is None):
        wrong.append((("entry",), "a row names either the `entry` that fills it or a `line` of its own"))
    for key in ("again", "lines"):
        names = getattr(row, key, ())
        if not isinstance(names, bool):
            wrong += [((key,), unknown("column of the row", name, cells)) for name in names if name not in cells]
    label = ", ".join(filter(None, (texts.get(name) for name in SHOWN)))
    if not label:
        method = (row.method if row is not None else None) or sheet.method
        label = method or next(filter(None, texts.values()), "a row")
    return PrintedRow(label, texts, cells), wrong


def _cell(sheet: Sheet, column: SheetColumn, row: SheetRow, name: str, content: Any) -> tuple[PrintedCell, Faults]:
    """One cell of a column of numbers."""
    given = content if isinstance(content, dict) else {"printed": content}
    if isinstance(given.get("printed"), int | float):
        return PrintedCell(""), [((), _quoted(given["printed"]))]
    cell, wrong = _checked(SheetCell, given)
    if cell is None:
        return PrintedCell(""), wrong
    line = row.line is not None or name in row.lines
    again = (row.again if isinstance(row.again, bool) else name in row.again) if cell.again is None else cell.again
    same = row.same if cell.same is None else cell.same
    base = _merged(sheet, column, row, cell) | {"metric": column.metric, "entry": row.entry or row.line}
    role = ("also" if again else "line") if line else "again" if again else "cell"
    base |= {"role": role, "same": same if role == "cell" else ()}
    names = () if line or row.entry is None else (row.entry, *same)
    cells = tuple((str(base.get("task")), entry, column.metric or "") for entry in names)
    if cell.printed is None:
        if cell.also:
            wrong.append((("also",), "other sources stand under a printed number"))
        return PrintedCell("", cell.open or sheet.open, (), cells), wrong
    numbers_of_cell: list[Published] = []
    for at, own in [((), cell.printed), *((("also", str(n)), other.printed) for n, other in enumerate(cell.also))]:
        number, faulty = _number(_elsewhere(base, cell.also[int(at[1])]) if at else base, own)
        numbers_of_cell += [number] if number is not None else []
        wrong += [((*at, *inner), what) for inner, what in faulty]
    return PrintedCell(cell.printed, "", tuple(numbers_of_cell), cells), wrong


def _number(said: Mapping[str, Any], printed: str) -> tuple[Published | None, Faults]:
    if not PRINTED.fullmatch(printed):
        return None, [(("printed",), f"must be a number as printed, '-' only as its sign (got {printed!r})")]
    decimals = len(printed.partition(".")[2])
    return _checked(Published, numbers({**said, "value": float(printed), "decimals": decimals}))


def _merged(*parts: BaseModel) -> dict[str, Any]:
    """What the parts say of the source, the later over the earlier."""
    merged: dict[str, Any] = {}
    for part in parts:
        if getattr(part, "paper", None) is not None:
            merged.pop("arxiv", None)  # the other paper's
        merged |= _said(part)
    return merged


def _elsewhere(base: Mapping[str, Any], other: OtherSource) -> dict[str, Any]:
    """What is said of a cell's number where someone else prints it."""
    dropped = {"note", "arxiv"} if other.paper is not None else {"note"}
    return {name: value for name, value in base.items() if name not in dropped} | {"role": "also"} | _said(other)


def _said(part: BaseModel) -> dict[str, Any]:
    return {name: value for name in SourceOf.model_fields if (value := getattr(part, name, None)) is not None}


def _checked(model: type[Any], content: Mapping[str, Any]) -> tuple[Any, Faults]:
    """The content as the model, or None with every fault."""
    try:
        return model.model_validate(dict(content)), []
    except ValidationError as error:
        return None, list(faults(error, model))


def _quoted(value: float) -> str:
    return f"must be text as printed, in quotes: floats drop trailing zeros (got {value!r})"

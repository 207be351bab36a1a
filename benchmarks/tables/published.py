"""What the papers print, number by number: `benchmarks/published/*.yaml`, one printed table a file, read strictly.

Only numbers that were seen in a text. The authors are those of the paper that prints the number: another group's
measurement of a method is that group's word, under that group's protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from benchmarks.suite import files
from benchmarks.suite.strict import Count, Integer, Many, Name, Number, Strict, faults, numbers
from sid.discovery import unknown
from sid.fault import Fault

FOLDER = Path(__file__).parents[1] / "published"
AUTHORS = ("primary_fulltext", "primary_abstract", "author_repo")  # the authors' own words
KINDS: Mapping[str, str] = {
    "primary_fulltext": "the paper's text",
    "primary_abstract": "the paper's abstract",
    "author_repo": "the authors' repository",
    "secondary_extraction": "someone's copy of the paper's number",
    "secondary_note": "someone's note of the paper's number",
    "secondary_index": "an index of papers",
    "third_party_quote": "quoted by another paper",
    "third_party_eval": "measured by another group",
}
Cell = tuple[str, str, str]  # task, entry, metric


class Published(Strict):
    """One printed number and where it was read."""

    role: Literal["cell", "line", "again"] = Field(
        "cell",
        description="cell: a suite's cell of that name is compared with it; line: no entry of ours stands for it, "
        "it is shown beside the table; again: the number of a cell in another place, kept for the record",
    )
    task: Name
    entry: Name = Field(description="of a suite; a line has a name of its own")
    also: Many[Name] = Field((), description="other entries of the task with the same number, as a released generator")
    metric: Name
    value: Number
    decimals: Integer = Field(ge=0, le=10, description="as printed: floats drop trailing zeros")
    method: str = Field(description="as printed")
    teacher: str | None = Field(None, description="as printed")
    guidance: str | None = Field(None, description="as printed")
    steps: Count | None = Field(None, description="as printed: sampling steps, or the network's passes")
    paper: str = Field(description="the one that prints the number")
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{4,5}$")
    table: str
    protocol: str = Field(description="how it was measured, as far as the text says")
    source: str = Field(description="where it was read")
    source_kind: Literal[
        "primary_fulltext",
        "primary_abstract",
        "author_repo",
        "secondary_extraction",
        "secondary_note",
        "secondary_index",
        "third_party_quote",
        "third_party_eval",
    ]
    note: str = ""

    @model_validator(mode="after")
    def _as_printed(self) -> Published:
        if round(self.value, self.decimals) != self.value:
            raise ValueError(f"{self.value:g} has more than {self.decimals} decimals")
        if self.also and self.role != "cell":
            raise ValueError(f"a number of role '{self.role}' is compared with no entry, so with none of 'also'")
        return self

    @property
    def authors(self) -> bool:
        return self.source_kind in AUTHORS

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells it belongs to."""
        return tuple((self.task, entry, self.metric) for entry in (self.entry, *self.also))

    @property
    def words(self) -> str:
        """For a reader: what is printed where, and who says so."""
        said = f"{self.paper}, {self.table}; read in {self.source} ({KINDS[self.source_kind]})"
        return f"{said}; {self.note}" if self.note else said


class _File(Strict):
    common: dict[str, Any] = Field({}, description="what every row of the file says")
    rows: Many[dict[str, Any]] = Field(min_length=1)


@lru_cache
def every(folder: Path = FOLDER) -> tuple[Published, ...]:
    """Every printed number, file by file; all faults of all files at once."""
    rows: list[Published] = []
    wrong = []
    for file in sorted(folder.glob("*.yaml")):
        found, told = read(file)
        rows += found
        wrong += told
    wrong += _contradictions(rows)
    if wrong:
        raise Fault(wrong)
    return tuple(rows)


@lru_cache
def published(folder: Path = FOLDER) -> Mapping[Cell, Published]:
    """The numbers that cells are compared with, by (task, entry, metric)."""
    return {cell: row for row in every(folder) if row.role == "cell" for cell in row.cells}


def lines(task: str, folder: Path = FOLDER) -> list[Published]:
    """What stands beside a task's table: numbers of methods that no entry stands for."""
    return [row for row in every(folder) if row.role == "line" and row.task == task]


def read(file: Path) -> tuple[list[Published], list[str]]:
    """The sound rows of one file, and a sentence for everything that is wrong with the others."""
    try:
        content = _File.model_validate(files.read(file))
    except ValidationError as error:
        return [], [f"{files.shown(file)}: {'.'.join(at)}: {what}" for at, what in faults(error, _File)]
    except Fault as fault:
        return [], fault.sentences
    rows, wrong = [], []
    for number, row in enumerate(content.rows):
        try:
            rows.append(Published.model_validate(numbers({**content.common, **row})))
        except ValidationError as error:
            for at, what in faults(error, Published):
                path = ".".join(("rows", str(number), *at))
                wrong.append(f"{files.shown(file)}: {path}: {what}")
    return rows, wrong


def check(file: Path, folder: Path = FOLDER) -> tuple[list[Published], list[str]]:
    """As `read`, for a file that is to join those of the folder: what contradicts them is told too."""
    rows, wrong = read(file)
    others = {other: read(other)[0] for other in sorted(folder.glob("*.yaml")) if other.resolve() != file.resolve()}
    mine = {cell for row in rows if row.role == "cell" for cell in row.cells}
    held = []
    for other, told in others.items():
        clashing = [row for row in told if row.role == "cell" and mine & {*row.cells}]
        held += [row for row in told if row not in clashing]
        for row in clashing:
            cells = ", ".join("/".join(cell) for cell in row.cells if cell in mine)
            told_there = f"{files.shown(other)} already ({KINDS[row.source_kind]})"
            wrong.append(f"{cells} stands in {told_there}: make one role: again")
    wrong += [*_contradictions([*held, *rows]), *_strangers(rows)]
    return rows, [sentence if str(file) in sentence else f"{files.shown(file)}: {sentence}" for sentence in wrong]


def _strangers(rows: list[Published]) -> Iterator[str]:
    """Cells of columns that the task's protocol has not, and of tasks that are near a shipped one and none of them.

    A task that is like no other is one of the user's own suite.
    """
    from benchmarks.suite.load import load_suite

    tasks: dict[str, set[str]] = {}
    for suite in map(load_suite, files.names("suite")):
        for name, task in suite.tasks.items():
            tasks.setdefault(name, set()).update(suite.protocols[task.protocol].metrics)
    for row in rows:
        if row.role != "cell":
            continue
        if row.task not in tasks:
            if get_close_matches(row.task, tasks):
                yield unknown("task", row.task, tasks)
        elif row.metric not in tasks[row.task]:
            yield unknown(f"metric of {row.task}", row.metric, tasks[row.task])


def _contradictions(rows: list[Published]) -> list[str]:
    """A cell is compared with one number, and a number comes again only where it stood a first time."""
    times = Counter(cell for row in rows if row.role == "cell" for cell in row.cells)
    twice = [
        f"{'/'.join(cell)} is given twice: let one be the cell's, the others role: again"
        for cell in times
        if times[cell] > 1
    ]
    lost = [cell for row in rows if row.role == "again" for cell in row.cells if cell not in times]
    return twice + [f"{'/'.join(cell)} comes again, and no row of role: cell gives it" for cell in dict.fromkeys(lost)]

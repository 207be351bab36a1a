"""The numbers that papers print: `benchmarks/published/*.yaml`, one printed table per file, read strictly.

Only numbers that were read in a text. "The authors" are those of the method: another group's measurement of it is not
in the authors' own words, and follows that group's protocol.
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

PUBLISHED_DIR = Path(__file__).parents[1] / "published"
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
    """One printed number with its source."""

    role: Literal["cell", "line", "again"] = Field(
        "cell",
        description="cell: a suite's cell of that name is compared with it; line: no entry of ours stands for it, "
        "it is shown beside the table; again: the number of a cell in another place, for the record",
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
        """The cells that have this number."""
        return tuple((self.task, entry, self.metric) for entry in (self.entry, *self.also))

    @property
    def words(self) -> str:
        """The source as a sentence: paper, table, where it was read, and whose words those are."""
        paper = f"{self.paper} (arXiv {self.arxiv})" if self.arxiv else self.paper
        source = f"{paper}, {self.table}; read in {self.source} ({KINDS[self.source_kind]})"
        return f"{source}; {self.note}" if self.note else source


class _File(Strict):
    common: dict[str, Any] = Field({}, description="fields of every row of the file")
    rows: Many[dict[str, Any]] = Field(min_length=1)


@lru_cache
def every(folder: Path = PUBLISHED_DIR) -> tuple[Published, ...]:
    """Every printed number, file by file; the faults of all files are raised together."""
    rows: list[Published] = []
    wrong: list[str] = []
    for file in sorted(folder.glob("*.yaml")):
        sound, faulty = read(file)
        rows += sound
        wrong += faulty
    wrong += _contradictions(rows)
    if wrong:
        raise Fault(wrong)
    return tuple(rows)


@lru_cache
def published(folder: Path = PUBLISHED_DIR) -> Mapping[Cell, Published]:
    """The numbers that cells are compared with, by (task, entry, metric)."""
    return {cell: row for row in every(folder) if row.role == "cell" for cell in row.cells}


def lines(task: str, folder: Path = PUBLISHED_DIR) -> list[Published]:
    """Numbers of a task that are shown beside its table: of methods that are no entry of ours."""
    return [row for row in every(folder) if row.role == "line" and row.task == task]


def read(file: Path) -> tuple[list[Published], list[str]]:
    """The valid rows of one file, and one sentence per fault of the others."""
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


def check(file: Path, folder: Path = PUBLISHED_DIR) -> tuple[list[Published], list[str]]:
    """As `read`, for a file to be added to the folder: also reports contradictions with the files there."""
    rows, wrong = read(file)
    others = {other: read(other)[0] for other in sorted(folder.glob("*.yaml")) if other.resolve() != file.resolve()}
    mine = {cell for row in rows if row.role == "cell" for cell in row.cells}
    agreeing = []
    for other, theirs in others.items():
        clashing = [row for row in theirs if row.role == "cell" and mine & {*row.cells}]
        agreeing += [row for row in theirs if row not in clashing]
        for row in clashing:
            cells = ", ".join("/".join(cell) for cell in row.cells if cell in mine)
            place = f"{files.shown(other)} already ({KINDS[row.source_kind]})"
            wrong.append(f"{cells} stands in {place}: make one role: again")
    wrong += [*_contradictions([*agreeing, *rows]), *_unknown_cells(rows)]
    return rows, [sentence if str(file) in sentence else f"{files.shown(file)}: {sentence}" for sentence in wrong]


def _unknown_cells(rows: list[Published]) -> Iterator[str]:
    """Cells of unknown columns of shipped tasks, and of tasks whose name is close to a shipped one.

    A task with a name of its own belongs to a suite of the user.
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
    """Cells with two numbers, and rows of role `again` whose cell has no number."""
    times = Counter(cell for row in rows if row.role == "cell" for cell in row.cells)
    twice = [
        f"{'/'.join(cell)} is given twice: keep one as the cell's, make the others role: again"
        for cell in times
        if times[cell] > 1
    ]
    lost = [cell for row in rows if row.role == "again" for cell in row.cells if cell not in times]
    return twice + [f"{'/'.join(cell)} comes again, and no row of role: cell gives it" for cell in dict.fromkeys(lost)]

"""Which rows of a suite can be made on this machine, and what each of the others lacks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benchmarks.machine import lease, needs
from benchmarks.suite.selection import all_rows, cut_down, with_origins
from benchmarks.tables.verdict import NOT_RUN, Judgement

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite
    from benchmarks.tables.rows import Row as CellRow

Row = str  # "task/entry"


@dataclass(frozen=True)
class Rows:
    """Rows that can be made, and the sentences against the others."""

    ready: tuple[Row, ...]
    lacking: Mapping[Row, Sequence[str]] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """Everything that is lacking, each once, in the rows' order."""
        return list(dict.fromkeys(sentence for sentences in self.lacking.values() for sentence in sentences))

    def reason(self, row: Row) -> str:
        """What a row lacks, in a few words for a table; empty where it lacks nothing."""
        sentences = self.lacking.get(row, ())
        return f"lacks {'; '.join(brief(sentence) for sentence in sentences)}" if sentences else ""


def examine(suite: Suite, rows: Sequence[Row] | None = None) -> Rows:
    """Looks for the data and models of each row and of the rows it begins from; nothing is downloaded.

    Args:
        suite: Whose files are searched.
        rows: Those of interest; None: all.
    """
    faults_of_data: dict[tuple, list[str]] = {}
    ready, lacking = [], {}
    for row in all_rows(suite) if rows is None else rows:
        alone = cut_down(suite, with_origins(suite, row))
        sentences = []
        for need in needs.data_of_suite(alone):
            key = (need.kind, need.name, need.file, *sorted(need.splits))
            if key not in faults_of_data:
                faults_of_data[key] = needs.faults_of(need)
            sentences += faults_of_data[key]
        sentences += needs.missing_models(alone)
        if sentences:
            lacking[row] = list(dict.fromkeys(sentences))
        else:
            ready.append(row)
    return Rows(tuple(ready), lacking)


def short_of_gpus(suite: Suite, rows: Sequence[Row], most: int | None = None) -> dict[Row, str]:
    """A sentence for each row that needs GPUs which this machine lacks. What trains nothing takes those there are.

    Args:
        suite: Whose tasks say how many.
        rows: Those of interest.
        most: The number that the user wants a job to have at most.
    """
    here, short = len(lease.gpus()), {}
    for row in rows:
        task, _, name = row.partition("/")
        asked = suite.tasks[task].machine.gpus
        trains = suite.entries_of(task)[name].method is not None
        wanted = asked if most is None else min(asked, most)
        if asked and not here:
            short[row] = "a GPU: this machine has none that CUDA_VISIBLE_DEVICES or /dev shows"
        elif trains and here < wanted:
            short[row] = (
                f"{wanted} GPUs to train on: this machine has {here}, and --gpus {here} takes those (equal numbers up "
                "to rounding and dropout; each needs more memory unless the task sets budget.micro_batch)"
            )
    return short


def explained(suite: Suite, rows: Sequence[CellRow]) -> list[CellRow]:
    """The tables' rows; each that was not run says what it lacks here, if anything."""
    idle = dict.fromkeys(f"{row.task.name}/{row.line.entry}" for row in rows if row.judgement.word == NOT_RUN)
    if not idle:
        return list(rows)
    examined = examine(suite, list(idle))

    def reasoned(row: CellRow) -> CellRow:
        why = examined.reason(f"{row.task.name}/{row.line.entry}")
        return replace(row, judgement=Judgement(NOT_RUN, why)) if row.judgement.word == NOT_RUN else row

    return [reasoned(row) for row in rows]


def brief(sentence: str) -> str:
    """The thing that a sentence says is missing, without where it was looked for and how to get it."""
    if match := re.match(r"(\S+) lacks ([^(;]+?) \(", sentence):
        return f"{match[2]} of {match[1]}"
    for end in (
        "; looked in",
        " is neither a folder",
        " is not in the Hugging Face",
        " (the teacher",
        "; to fetch",
        ";",
    ):
        sentence = sentence.partition(end)[0]
    return sentence.removeprefix("there is no ")

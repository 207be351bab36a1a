"""The answer in a few sentences: what was reproduced, by how much, and the best method of each task."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.tables.layout import TableColumn
from benchmarks.tables.rows import Row
from benchmarks.tables.verdict import CLOSE, OFF, ONE_SEED, REPRODUCED, WORDS

JUDGED = (REPRODUCED, CLOSE, OFF)


@dataclass(frozen=True)
class Summary:
    """The sentences that a page and a table begin with."""

    answer: str
    distance: str  # by how much the cells deviate; empty if none is compared
    leaders: tuple[str, ...]  # the best method of each task
    tally: list[tuple[str, int]]  # of the cells of methods
    checks: list[tuple[str, int]]  # of the controls


def summary(rows: Sequence[Row]) -> Summary:
    """The answer to "what was reproduced?" for all rows of a suite."""
    words, checks = tally(rows, of_controls=False), tally(rows, of_controls=True)
    return Summary(_answer(dict(words)), distance(rows), leaders(rows), words, checks)


def _answer(words: dict[str, int]) -> str:
    """How many cells of methods were judged, and how."""
    judged = sum(words.get(word, 0) for word in JUDGED)
    rest = {word: number for word, number in words.items() if word not in JUDGED}
    others = ", ".join(f"{number} {word}" for word, number in rest.items())
    if not judged:
        return f"No cell of a method has a verdict: {others}." if others else "The suite has no method."
    said = f"{words.get(REPRODUCED, 0)} of {judged} judged cells of methods are reproduced"
    said += "".join(
        f", {words[word]} {'is' if words[word] == 1 else 'are'} {word}" for word in (CLOSE, OFF) if word in words
    )
    return f"{said}; {sum(rest.values())} have no verdict ({others})." if others else f"{said}."


def distance(rows: Sequence[Row]) -> str:
    """The median deviation of the compared cells of methods as a share of the compared value, and the farthest cell."""
    shares: list[tuple[float, Row]] = []
    for row in rows:
        deviation, target = row.judgement.deviation, row.target
        judged = not row.control and row.judgement.word in (*JUDGED, ONE_SEED)
        if judged and deviation is not None and target is not None and target.value:
            shares.append((100 * deviation / abs(target.value), row))
    if not shares:
        return ""
    printed = sum(row.published is not None for _, row in shares)
    own = len(shares) - printed
    against = [f"{printed} with what papers print"] * bool(printed)
    against += [f"{own} with the project's own reference runs"] * bool(own)
    median = statistics.median(abs(share) for share, _ in shares)
    widest, far = max(shares, key=lambda pair: abs(pair[0]))
    return (
        f"Compared: {' and '.join(against)}. Half of these cells deviate by at most {median:.2g} %; "
        f"the farthest is {far.line.label}, {far.column.name} on {far.task.title}: {widest:+.0f} %."
    )


def leaders(rows: Sequence[Row]) -> tuple[str, ...]:
    """For the first metric of each task: the best method, and the teacher where one stands beside it."""
    said = []
    for task in {row.task.name: row.task for row in rows if row.task.columns}.values():
        column = task.columns[0]
        own = [row for row in rows if row.task.name == task.name and row.column == column]
        best = best_of(own, column)
        if best is None:
            continue
        words = f"{task.title}: {best.line.label} is best in {column.name} with {_shown(best)}"
        teachers = [row for row in own if row.line.kind == "teacher" and row.mean is not None]
        if teachers:
            top = (max if column.higher else min)(teachers, key=lambda row: row.mean or 0.0)
            words += f" in {_steps(best)}; {top.line.label}: {_shown(top)}"
        said.append(f"{words}.")
    return tuple(said)


def _steps(row: Row) -> str:
    return f"{row.steps} step{'s' if row.steps != 1 else ''}"


def _shown(row: Row) -> str:
    return row.texts()["reproduced"] + (f" ± {row.spread_shown}" if row.spread_shown else "")


def tally(rows: Sequence[Row], of_controls: bool) -> list[tuple[str, int]]:
    """How many cells of each word, of the methods or of the controls."""
    words = [row.judgement.word for row in rows if row.control == of_controls]
    return [(word, words.count(word)) for word in WORDS if word in words]


def best_of(rows: Sequence[Row], column: TableColumn) -> Row | None:
    """The method with the best mean of a task's metric; none where fewer than two methods have one."""
    able = [
        row
        for row in rows
        if row.column == column and row.line.kind == "method" and not row.random and _finite(row.mean)
    ]
    if len(able) < 2:
        return None
    return (max if column.higher else min)(able, key=lambda row: row.mean or 0.0)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)

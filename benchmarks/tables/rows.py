"""One row per task, entry and metric: published, reference and reproduced value, and the verdict."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.tables.controls import check
from benchmarks.tables.layout import Layout, Line, TableColumn, TableTask
from benchmarks.tables.published import Cell, Published
from benchmarks.tables.runs import Key, Run
from benchmarks.tables.verdict import (
    INCOMPLETE,
    NOT_RUN,
    OUTDATED,
    RANDOM,
    UNAVAILABLE,
    UNREADABLE,
    Judgement,
    Target,
    fixed,
    judge,
    seeds_named,
    spread,
)

EXACT = ("mean", "sd", "difference")  # reproduced, spread and deviation in full precision
HEADER = (
    "task",
    "method",
    "steps",
    "metric",
    "published",
    "reference",
    "reproduced",
    "spread",
    "seeds",
    "deviation",
    "verdict",
    "digest",
)


@dataclass(frozen=True)
class Row:
    """One cell of the tables with the runs, values and targets behind it."""

    task: TableTask
    line: Line
    column: TableColumn
    runs: tuple[Run, ...]  # the runs that exist, by seed
    values: Mapping[int, float]
    judgement: Judgement
    published: Published | None = None
    reference: Target | None = None

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds."""
        finite = all(math.isfinite(value) for value in self.values.values())
        return spread(self.values.values()) if finite else None

    @property
    def target(self) -> Target | None:
        return _target(self.published, self.reference)

    @property
    def control(self) -> bool:
        """Whether it is checked by a control's own rule, and counted apart from the methods."""
        return self.line.kind != "method" and self.published is None

    @property
    def random(self) -> bool:
        """Whether random weights computed any of its values."""
        return any(run.random(self.column.name) for run in self.runs)

    @property
    def steps(self) -> int | None:
        """Sampling steps as the runs state them, else as the suite declares them."""
        steps = [run.scores["steps"] for run in self.runs if run.scores.get("steps") is not None]
        return int(steps[0]) if steps else self.line.steps

    @property
    def digest(self) -> str:
        """The digest of a single run, or the digest of several runs' digests."""
        digests = [run.digest for run in self.runs if run.seed in self.values]
        if len(digests) < 2:
            return "".join(digests)
        return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:12]

    @property
    def notes(self) -> tuple[str, ...]:
        """What its runs note about their images, and its means by other papers' selection rules."""
        seeds: dict[str, list[int]] = {}
        for run in self.runs:
            for note in run.notes:
                seeds.setdefault(note, []).append(run.seed)
        whole = len(self.runs)
        noted = [note if len(of) == whole else f"{note} ({seeds_named(of)})" for note, of in seeds.items()]
        return (*noted, *self._alternatives())

    def _alternatives(self) -> Iterator[str]:
        """The mean over the seeds by each selection rule that the protocol reports beside its own."""
        for name, rule in self.task.alternatives.items():
            details = [run.details(self.column.name) for run in self.runs]
            values = [float(numbers[name]) for numbers in details if name in numbers]
            if values:
                yield f"{fixed(statistics.fmean(values), self.column.decimals)} by {name} ({rule})"

    @property
    def percent(self) -> str:
        """The deviation as a share of the compared value."""
        deviation = self.judgement.deviation
        if self.target is None or deviation is None or not self.target.value:
            return ""
        return f"{fixed(100 * deviation / abs(self.target.value), 0, signed=True)} %"

    @property
    def spread_shown(self) -> str:
        """The spread with as many digits as the mean, one more if they would all be zero."""
        digits = self.column.decimals
        if self.spread is None:
            return ""
        return fixed(self.spread, digits if round(self.spread, digits) or not self.spread else digits + 1)

    def texts(self) -> dict[str, str]:
        """The csv's fields: fixed digits, no times, equal for equal runs. Spread and deviation have one digit more."""
        digits = self.column.decimals
        deviation = self.judgement.deviation
        return {
            "task": self.task.name,
            "method": self.line.entry,
            "steps": "" if self.steps is None else str(self.steps),
            "metric": self.column.name,
            "published": "" if self.published is None else fixed(self.published.value, self.published.decimals),
            "reference": "" if self.reference is None else self.reference.text,
            "reproduced": "" if self.mean is None else fixed(self.mean, digits),
            "spread": "" if self.spread is None else fixed(self.spread, digits + 1),
            "seeds": " ".join(str(seed) for seed in self.values),
            "deviation": "" if deviation is None else fixed(deviation, digits + 1, signed=True),
            "verdict": self.judgement.text,
            "digest": self.digest,
        }

    def exact(self) -> tuple[str, ...]:
        """The fields of `EXACT`: as many digits as tell the number from every other one."""
        return tuple(
            "" if number is None else repr(number) for number in (self.mean, self.spread, self.judgement.deviation)
        )


def build(
    layout: Layout,
    runs: Mapping[Key, Run],
    published: Mapping[Cell, Published] | None = None,
    reference: Mapping[Cell, Target] | None = None,
) -> list[Row]:
    """Every declared cell, in the suite's order: task, entry, metric.

    Args:
        layout: the cells that the suite declares.
        runs: all finished runs, by (task, entry, seed).
        published: the printed numbers to compare with, by (task, entry, metric).
        reference: the committed reference values, for cells that no paper prints.
    """
    rows = []
    for task in layout.tasks:
        lines = {line.entry: line for line in task.lines}
        finished = {
            line.entry: tuple(runs[key] for seed in line.digests if (key := (task.name, line.entry, seed)) in runs)
            for line in task.lines
        }
        whole = {column.name: _comparable(column, lines, finished) for column in task.columns}
        for line in task.lines:
            own_runs = finished[line.entry]
            for column in task.columns:
                cell = (task.name, line.entry, column.name)
                printed, own = (published or {}).get(cell), (reference or {}).get(cell)
                target = _target(printed, own)
                values = _values(own_runs, column)
                verdict = _unjudged(line, column, own_runs)
                if verdict is None and line.kind != "method" and printed is None:
                    verdict = check(line, column, whole[column.name], lines, target)
                    if target is not None and values:
                        verdict = replace(verdict, deviation=statistics.fmean(values.values()) - target.value)
                elif verdict is None:
                    trials = max((run.trial_spread(column.name) for run in own_runs), default=0.0)
                    verdict = judge(values, target, column.tolerance, trials)
                rows.append(Row(task, line, column, own_runs, values, verdict, printed, own))
    return rows


def _values(finished: Iterable[Run], column: TableColumn) -> dict[int, float]:
    return {run.seed: value for run in finished if (value := run.value(column.name)) is not None}


def _comparable(
    column: TableColumn, lines: Mapping[str, Line], finished: Mapping[str, tuple[Run, ...]]
) -> dict[str, dict[int, float]]:
    """The values of every row that is complete and up to date: a check compares with nothing else."""
    sound = (name for name, line in lines.items() if _unjudged(line, column, finished[name]) is None)
    return {name: _values(finished[name], column) for name in sound}


def _target(published: Published | None, reference: Target | None) -> Target | None:
    """The value that a cell is compared with: the published one, else the project's own reference."""
    if published is not None:
        return Target(published.value, published.decimals, published.authors)
    return reference


def _unjudged(line: Line, column: TableColumn, finished: Iterable[Run]) -> Judgement | None:
    """Why a cell gets no verdict, if so: leaving a seed out must not improve a verdict."""
    runs = {run.seed: run for run in finished}
    if not runs:
        return Judgement(NOT_RUN)
    broken = {seed: run.fault for seed, run in runs.items() if run.fault}
    if broken:
        return Judgement(UNREADABLE, f"{seeds_named(broken)}: {'; '.join(sorted(set(broken.values())))}")
    reasons = {seed: run.unavailable(column.name) for seed, run in runs.items() if run.value(column.name) is None}
    if reasons:
        return Judgement(UNAVAILABLE, "; ".join(sorted(set(reasons.values()))))
    if any(run.random(column.name) for run in runs.values()):
        return Judgement(RANDOM)
    missing = [seed for seed in line.digests if seed not in runs]
    if missing:
        return Judgement(INCOMPLETE, f"{seeds_named(missing)} not run")
    old = [seed for seed, run in runs.items() if line.digests[seed] and run.digest != line.digests[seed]]
    if old:
        return Judgement(OUTDATED, f"{seeds_named(old)} made by another recipe than the suite now states")
    return None


def table_notes(rows: Sequence[Row]) -> list[str]:
    """The notes of one table's rows, each once, after the labels of its rows unless all rows with runs share it."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            labels.setdefault(note, []).append(row.line.label)
    whole = sum(bool(row.runs) for row in rows)
    return [note if len(of) == whole > 1 else f"{', '.join(of)}: {note}" for note, of in labels.items()]


ORDER = {"teacher": 0, "method": 1}  # of kinds in a table; the others follow in the suite's order


def groups(rows: Iterable[Row]) -> list[tuple[TableTask, TableColumn, list[Row]]]:
    """One table per task and metric: the teacher first, then methods, then controls."""
    tables: dict[tuple[str, str], tuple[TableTask, TableColumn, list[Row]]] = {}
    for row in rows:
        key = (row.task.name, row.column.name)
        tables.setdefault(key, (row.task, row.column, []))[2].append(row)
    order = {name: place for place, name in enumerate(dict.fromkeys(task for task, _ in tables))}
    by_task = [tables[key] for key in sorted(tables, key=lambda key: order[key[0]])]
    return [(task, column, sorted(rows, key=lambda row: ORDER.get(row.line.kind, 2))) for task, column, rows in by_task]

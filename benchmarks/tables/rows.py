"""Published, reference, reproduced: one row per task, entry and metric, with its verdict or why it is empty."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.tables.layout import Column, Layout, Line, Task
from benchmarks.tables.published import Published
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
Cell = tuple[str, str, str]  # task, entry, metric


@dataclass(frozen=True)
class Row:
    """One cell of the tables with everything that stands behind it."""

    task: Task
    line: Line
    column: Column
    runs: tuple[Run, ...]  # those that were found, by seed
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
    def random(self) -> bool:
        """Whether any of its numbers was made by random weights."""
        return any(run.random(self.column.name) for run in self.runs)

    @property
    def steps(self) -> int | None:
        """Sampling steps: what the runs say, else what the suite says."""
        said = [run.scores["steps"] for run in self.runs if run.scores.get("steps") is not None]
        return int(said[0]) if said else self.line.steps

    @property
    def digest(self) -> str:
        """Of one run its own, of several the digest of theirs."""
        own = [run.digest for run in self.runs if run.seed in self.values]
        return own[0] if len(own) == 1 else hashlib.sha256(" ".join(own).encode()).hexdigest()[:12] if own else ""

    @property
    def percent(self) -> str:
        """The deviation as a share of the value it is compared with."""
        deviation = self.judgement.deviation
        if self.target is None or deviation is None or not self.target.value:
            return ""
        return f"{fixed(100 * deviation / abs(self.target.value), 0, signed=True)} %"

    @property
    def spread_shown(self) -> str:
        """For a reader: as many digits as the mean has, one more where they would all be zero."""
        digits = self.column.decimals
        if self.spread is None:
            return ""
        return fixed(self.spread, digits if round(self.spread, digits) or not self.spread else digits + 1)

    def texts(self) -> dict[str, str]:
        """The csv's fields: fixed digits, no times, equal for equal runs. The spread has one digit more."""
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


def build(
    layout: Layout,
    runs: Mapping[Key, Run],
    published: Mapping[Cell, Published] | None = None,
    reference: Mapping[Cell, Target] | None = None,
) -> list[Row]:
    """Every declared cell, in the suite's order: task, entry, metric."""
    rows = []
    for task in layout.tasks:
        for line in task.lines:
            found = tuple(
                runs[task.name, line.entry, seed] for seed in line.digests if (task.name, line.entry, seed) in runs
            )
            for column in task.columns:
                cell = (task.name, line.entry, column.name)
                printed, own = (published or {}).get(cell), (reference or {}).get(cell)
                values = {run.seed: value for run in found if (value := run.value(column.name)) is not None}
                trials = max((run.trial_spread(column.name) for run in found), default=0.0)
                target = _target(printed, own)
                verdict = _excuse(line, column, found) or judge(values, target, column.tolerance, trials)
                rows.append(Row(task, line, column, found, values, verdict, printed, own))
    return rows


def _target(published: Published | None, reference: Target | None) -> Target | None:
    """What a cell is compared with: the paper before the project's own run."""
    if published is not None:
        return Target(published.value, published.decimals, published.authors)
    return reference


def _excuse(line: Line, column: Column, found: Iterable[Run]) -> Judgement | None:
    """Why a cell gets no verdict; leaving a seed out must not be a way to a better one."""
    runs = {run.seed: run for run in found}
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


ORDER = {"teacher": 0, "method": 1}  # of kinds in a table; all others come below, as the suite declares them


def groups(rows: Iterable[Row]) -> list[tuple[Task, Column, list[Row]]]:
    """The rows as a reader compares them: one table per task and metric, the teacher above, controls below."""
    found: dict[tuple[str, str], tuple[Task, Column, list[Row]]] = {}
    for row in rows:
        key = (row.task.name, row.column.name)
        found.setdefault(key, (row.task, row.column, []))[2].append(row)
    order = {name: place for place, name in enumerate(dict.fromkeys(task for task, _ in found))}
    tables = [found[key] for key in sorted(found, key=lambda key: order[key[0]])]
    return [(task, column, sorted(rows, key=lambda row: ORDER.get(row.line.kind, 2))) for task, column, rows in tables]

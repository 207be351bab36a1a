"""What is looked at before a suite is made: everything that stands against it, and what will stay unavailable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks import models
from benchmarks.assets import find, missed
from benchmarks.machine import needs
from benchmarks.suite import components
from benchmarks.tables.published import published
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.assets import Weight
    from benchmarks.suite.config import Suite
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Column


def faults(suite: Suite) -> list[str]:
    """Sentences, all at once: data, models, and the printed numbers that the tables will be held against."""
    told = needs.faults(suite) + models.missing(suite)
    try:
        published()
    except Fault as fault:
        told += fault.sentences
    return told


def unavailable(suite: Suite) -> list[str]:
    """A sentence for each missing weight file: whose columns stay empty, and who tells how to get it."""
    if suite.random_weights is not None:
        return []
    empty: dict[str, dict[str, None]] = {}
    for task in suite.tasks.values():
        for name, column in suite.protocols[task.protocol].metrics.items():
            for weight in read_by(column):
                if find(weight) is None:
                    empty.setdefault(weight.name, {})[f"{name} of {task.protocol}"] = None
    return [
        f"the weights {weight}: without them {', '.join(columns)} will be unavailable (sidbench weights {suite.name} "
        "tells where they are looked for and how to get them)"
        for weight, columns in empty.items()
    ]


def read_by(column: Column) -> Iterator[Weight]:
    """The weights that a column's metric, with its options, and its network read."""
    yield from components.metrics()[column.metric].files(column.options)
    network = components.extractors().get(column.extractor)
    yield from network.weights if network is not None else ()


def completable(plan: Plan) -> list[Job]:
    """The runs that lack a value whose weights have come since they were scored.

    A training that is done stays done: its state is there, and only its samples are made and scored again.
    """
    if plan.suite.random_weights is not None:
        return []
    return [job for job in plan.of("run") if any(_come(column, reason) for column, reason in _empty(job, plan))]


def _empty(job: Job, plan: Plan) -> Iterator[tuple[Column, str]]:
    """The columns that a finished run could not compute, and why."""
    try:
        told = json.loads((job.folder / "scores.json").read_text(encoding="utf-8")).get("unavailable", {})
    except (OSError, ValueError, AttributeError):
        return
    columns = plan.suite.protocols[job.params["protocol"]].metrics
    yield from ((columns[name], str(reason)) for name, reason in told.items() if name in columns)


def _come(column: Column, reason: str) -> bool:
    """Whether the file that it lacked is there now, and every other. Any other reason would only be found again."""
    read = list(read_by(column))
    return any(missed(weight, reason) for weight in read) and all(find(weight) is not None for weight in read)

"""What is looked at before a suite is made: everything that stands against it, and what will stay unavailable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks import components, models, needs
from benchmarks.published import published
from benchmarks.weights import find
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.config import Suite
    from benchmarks.job import Job
    from benchmarks.plan import Plan
    from benchmarks.protocol import Column
    from benchmarks.weights import Weight


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
            for weight in lacking(column):
                empty.setdefault(weight.name, {})[f"{name} of {task.protocol}"] = None
    return [
        f"the weights {weight}: without them {', '.join(columns)} will be unavailable (sidbench weights {suite.name} "
        "tells where they are looked for and how to get them)"
        for weight, columns in empty.items()
    ]


def lacking(column: Column) -> Iterator[Weight]:
    """The weights that a column's metric and network read and that are nowhere."""
    read = components.metrics()[column.metric].files(column.options)
    network = components.extractors().get(column.extractor)
    yield from (weight for weight in (*read, *(network.weights if network else ())) if find(weight) is None)


def completable(plan: Plan) -> list[Job]:
    """The runs that lack a value whose weights have come since they were scored.

    A training that is done stays done: its state is there, and only its samples are made and scored again.
    """
    if plan.suite.random_weights is not None:
        return []
    return [job for job in plan.of("run") if any(map(_come, _empty(job, plan)))]


def _empty(job: Job, plan: Plan) -> Iterator[Column]:
    """The columns that a finished run could not compute."""
    try:
        told = json.loads((job.folder / "scores.json").read_text(encoding="utf-8")).get("unavailable", {})
    except (OSError, ValueError, AttributeError):
        return
    columns = plan.suite.protocols[job.params["protocol"]].metrics
    yield from (columns[name] for name in told if name in columns)


def _come(column: Column) -> bool:
    """Whether weights could be what it lacked, and are there."""
    extractor = components.extractors().get(column.extractor)
    reads = components.metrics()[column.metric].weights or (extractor is not None and extractor.weights)
    return bool(reads) and not any(lacking(column))

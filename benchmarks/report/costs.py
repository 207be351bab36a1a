"""What the runs cost: device time, memory and images per second, from their records."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report.curves import images_to
from benchmarks.tables.layout import Shared
from benchmarks.tables.rows import Row
from sid.fault import parsed


@dataclass(frozen=True)
class Cost:
    """One line of the cost table; None for what no record states."""

    label: str
    runs: int
    hours: float | None  # summed over the runs
    memory: int | None  # the largest peak
    rate: float | None  # images per second, median
    images: int | None  # per run
    reach: int | None  # images to 1.1 of the final score, median over seeds


HEADS = {
    "runs": "runs",
    "hours": "device time, all runs",
    "memory": "peak memory",
    "images": "images a run",
    "rate": "images per second",
    "reach": "images to 1.1 of its final score",
}
ALIKE = 1.05  # a column whose values lie within this factor is said once
TIMES = (("h", 3600), ("min", 60), ("s", 1))
Number = float | int | None


@dataclass(frozen=True)
class CostTable:
    """The costs that differ as columns; what is alike in all lines is said once."""

    lines: tuple[tuple[str, tuple[tuple[str, Number], ...]], ...]  # label, then text and number of each column
    heads: tuple[str, ...]
    equal: tuple[str, ...]  # "peak memory: 646 to 670 MiB"


def table(costs: Sequence[Cost], reach: bool = True) -> CostTable:
    """Costs as a table; `reach` says whether they have training curves."""
    names = [name for name in HEADS if reach or name != "reach"]
    columns: list[str] = []
    equal: list[str] = []
    for name in names:
        numbers = [value for cost in costs if (value := getattr(cost, name)) is not None]
        if numbers and max(numbers) > ALIKE * min(numbers):
            columns.append(name)
        elif numbers:
            ends = dict.fromkeys(_text(value, name, max(numbers)) for value in (min(numbers), max(numbers)))
            equal.append(f"{HEADS[name]}: {' to '.join(ends)}")
    largest = {name: max(value for cost in costs if (value := getattr(cost, name)) is not None) for name in columns}
    lines = tuple(
        (cost.label, tuple((_text(getattr(cost, name), name, largest[name]), getattr(cost, name)) for name in columns))
        for cost in costs
    )
    return CostTable(lines, tuple(HEADS[name] for name in columns), tuple(equal))


def _text(value: Number, name: str, largest: float) -> str:
    """A cost in figures that a reader can tell apart, in the unit of the column's largest."""
    if value is None:
        return "–"
    if name == "hours":
        unit, seconds = next((its for its in TIMES if largest * 3600 >= its[1]), TIMES[-1])
        amount = value * 3600 / seconds
        return f"{amount:,.0f} {unit}" if amount >= 100 else f"{amount:.{1 if amount >= 10 else 2}f} {unit}"
    if name == "memory":
        return f"{value / 2**30:.3g} GiB" if largest >= 2**30 else f"{value / 2**20:.0f} MiB"
    return f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def of_task(rows: Sequence[Row]) -> list[Cost]:
    """The costs of a task's entries, from the rows of its first metric."""
    costs = []
    for row in rows:
        records = [run.record for run in row.runs if run.record]
        if not records:
            continue
        reach = []
        if row.line.trains:
            for run in row.runs:
                points = [
                    (int(point["images"]), float(point[row.column.name]))
                    for point in run.curve()
                    if row.column.name in point
                ]
                reach.append(images_to(points, row.column.higher))
        reached = [images for images in reach if images is not None]
        costs.append(_cost(row.line.label, records, round(statistics.median(reached)) if reached else None))
    return costs


def of_shared(shared: Iterable[Shared]) -> list[Cost]:
    """The costs of teachers, extractors, pairs and prompts: made once, used by all entries."""
    grouped: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for artefact in shared:
        try:
            record = parsed((Path(artefact.folder) / "record.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            grouped.setdefault((artefact.kind, artefact.name), []).append(record)
    return [_cost(f"{kind} {name}", records, None) for (kind, name), records in grouped.items()]


def _cost(label: str, records: Sequence[Mapping[str, Any]], reach: int | None) -> Cost:
    def numbers(name: str) -> list[float]:
        return [float(record[name]) for record in records if isinstance(record.get(name), (int, float))]

    hours, memory, rate, images = (
        numbers(name) for name in ("device_hours", "peak_memory_bytes", "images_per_second", "images")
    )
    return Cost(
        label,
        len(records),
        sum(hours) if hours else None,
        int(max(memory)) if memory and max(memory) > 0 else None,
        statistics.median(rate) if rate else None,
        int(statistics.median(images)) if images else None,
        reach,
    )

"""The provenance of a cell: each seed's command and digest, and the facts that its runs share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.tables.rows import Row
from benchmarks.tables.runs import Run
from benchmarks.tables.verdict import fixed


@dataclass(frozen=True)
class RunProvenance:
    """One run of a cell."""

    seed: int
    value: str
    digest: str
    command: str
    warnings: tuple[str, ...]  # of the score
    notes: tuple[str, ...]  # of the run's record


@dataclass(frozen=True)
class Provenance:
    """All that is known about a cell's runs."""

    runs: tuple[RunProvenance, ...]
    facts: tuple[tuple[str, tuple[str, ...]], ...]  # name -> the different values of the runs
    environments: tuple[int, ...]  # numbers in the page's list of environments
    recipe: int | None  # number of the first seed's recipe in the page's list


@dataclass(frozen=True)
class Environment:
    """One set of packages on one device."""

    number: int
    device: str
    packages: tuple[tuple[str, str], ...]


def environments(rows: Iterable[Row]) -> list[Environment]:
    """The different machines and package sets of a page, in order of appearance."""
    seen = dict.fromkeys(_environment(run) for row in rows for run in row.runs if run.record)
    return [Environment(number, device, packages) for number, (device, packages) in enumerate(seen, start=1)]


def recipes(rows: Iterable[Row]) -> list[str]:
    """The different recipes of a page as JSON, in order of appearance; all metrics of a row share one."""
    return list(dict.fromkeys(text for row in rows if (text := _recipe(row))))


def _recipe(row: Row) -> str:
    """The recipe of the first seed."""
    recipe = next((run.record.get("recipe") for run in row.runs if run.record), None)
    return json.dumps(recipe, indent=1, sort_keys=True) if recipe else ""


def provenance(
    row: Row, known: Sequence[Environment], levels: Mapping[str, str], listed: Mapping[str, int]
) -> Provenance:
    """The provenance of one cell.

    Args:
        row: the cell with its runs.
        known: the page's environments.
        levels: how far each component was verified, by "kind:name".
        listed: the number of each recipe in the page's list.
    """
    numbers = {(environment.device, environment.packages): environment.number for environment in known}
    records = [run.record for run in row.runs if run.record]
    facts = (
        ("commit", _different(_commit(record) for record in records)),
        ("versions", _different(_pairs(record.get("versions")) for record in records)),
        ("verified", _different(_pairs(_levels(record.get("versions"), levels)) for record in records)),
        ("weights (sha256)", _different(_pairs(record.get("weights")) for record in records)),
        ("run on", _different(str(record.get("device", "")) for record in records)),
    )
    return Provenance(
        tuple(_run(run, row) for run in row.runs),
        tuple((name, values) for name, values in facts if values),
        tuple(sorted({numbers[_environment(run)] for run in row.runs if run.record})),
        listed.get(_recipe(row)),
    )


def _run(run: Run, row: Row) -> RunProvenance:
    value = None if run.fault else run.value(row.column.name)
    shown = "" if value is None else fixed(value, row.column.decimals + 2)
    warnings = run.scores.get("metrics", {}).get(row.column.name, {}).get("warnings", ())
    command = str(run.record.get("command", "")) or "no record lies beside this run"
    return RunProvenance(run.seed, shown, run.digest, command, tuple(str(warning) for warning in warnings), run.notes)


def _levels(versions: Any, levels: Mapping[str, str]) -> dict[str, str]:
    """The levels of the components that made this run."""
    return {name: levels[name] for name in versions if name in levels} if isinstance(versions, Mapping) else {}


def _environment(run: Run) -> tuple[str, tuple[tuple[str, str], ...]]:
    packages = run.record.get("packages")
    pairs = packages.items() if isinstance(packages, Mapping) else ()
    return str(run.record.get("device", "")), tuple(sorted((str(name), str(number)) for name, number in pairs))


def _commit(record: Mapping[str, Any]) -> str:
    if not record.get("commit"):
        return ""
    return f"{str(record['commit'])[:12]}{' with uncommitted changes' if record.get('dirty') else ''}"


def _pairs(section: Any) -> str:
    """{"method:sid": 1, "loop": 1} as "loop 1, method:sid 1"."""
    if isinstance(section, Mapping):
        return ", ".join(f"{name} {value}" for name, value in sorted(section.items()))
    return "" if section is None else str(section)


def _different(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))

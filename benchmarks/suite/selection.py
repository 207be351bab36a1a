"""Some rows of a suite: those that a user names, and a suite cut down to one of its rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from benchmarks.suite.config import Suite
from sid.discovery import nearest
from sid.fault import Fault


def all_rows(suite: Suite) -> tuple[str, ...]:
    """Every row as "task/entry", in the suite's order."""
    return tuple(f"{task}/{name}" for task, name, _ in suite.rows)


def matching(suite: Suite, patterns: Iterable[str]) -> tuple[str, ...]:
    """The rows whose task, entry or "task/entry" matches one of the patterns, as a shell matches file names."""
    patterns, rows = list(patterns), all_rows(suite)

    def matches(row: str, pattern: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in (row, *row.split("/")))

    names = {name for row in rows for name in (row, *row.split("/"))}
    wrong = []
    for pattern in patterns:
        if not any(matches(row, pattern) for row in rows):
            near = nearest(pattern, names)
            hint = f"did you mean '{near}'?" if near else f"its tasks: {', '.join(suite.tasks)}"
            named = pattern or "''"
            wrong.append(f"--only {named}: no task and no row of the suite {suite.name} has that name; {hint}")
    if wrong:
        raise Fault(wrong)
    return tuple(row for row in rows if any(matches(row, pattern) for pattern in patterns))


def with_origins(suite: Suite, row: str) -> tuple[str, ...]:
    """The row and those that it begins from (`init`), the row first."""
    task, _, name = row.partition("/")
    entries, chain = suite.entries_of(task), [name]
    while (origin := entries[chain[-1]].init) is not None and origin not in chain:
        chain.append(origin)
    return tuple(f"{task}/{each}" for each in chain)


def cut_down(suite: Suite, rows: Collection[str]) -> Suite:
    """The suite with these rows alone, of one task or several; teachers and protocols stay as they are."""
    tasks = {}
    for task, settings in suite.tasks.items():
        left = {name: entry for name, entry in suite.entries_of(task).items() if f"{task}/{name}" in rows}
        if left:
            tasks[task] = settings.model_copy(update={"entries": left})
    return suite.model_copy(update={"tasks": tasks, "entries": {}})

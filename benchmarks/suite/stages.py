"""Which networks a row takes over from the row it begins from, and which it leaves for others. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from sid.method import Copy, Head, Student

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite

WHOLE = (Copy, Head, Student)  # networks with weights of their own; adapters stay with their base


def takes(suite: Suite, task: str, entry: str) -> list[str]:
    """What the entry's method goes on from, where the row it begins from trained it too."""
    entries = suite.entries_of(task)
    row = entries[entry]
    if row.init is None or row.method is None:
        return []
    method, source = components.methods()[row.method], components.methods()[entries[row.init].method or ""]
    if not method.continues:
        return []
    own = method.build(options_of(suite, task, entry))
    theirs = source.build(options_of(suite, task, row.init))
    return sorted(
        name
        for name in method.continues
        if isinstance(theirs.get(name), WHOLE) and type(own.get(name)) is type(theirs[name])
    )


def leaves(suite: Suite, task: str, entry: str) -> list[str]:
    """What other rows of the task take over from the entry."""
    after = [name for name, row in suite.entries_of(task).items() if row.init == entry]
    return sorted({network for name in after for network in takes(suite, task, name)})

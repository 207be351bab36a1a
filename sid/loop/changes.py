"""What differs between two descriptions of a training, as JSON has them, field by field. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldChange:
    """A field that differs; its name is the path of its keys."""

    name: str
    before: Any
    now: Any

    def grows(self, name: str) -> bool:
        """Whether it is the field of that name, and only larger now."""
        return self.name == name and isinstance(self.before, int) and self.now > self.before

    def __str__(self) -> str:
        return f"{self.name} was {_shown(self.before)} and is {_shown(self.now)}"


def changes(before: Any, now: Any, name: str = "") -> Iterator[FieldChange]:
    """Every field that differs, at any depth."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield FieldChange(name, before, now)


def _shown(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

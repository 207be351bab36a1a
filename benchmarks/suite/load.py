"""A suite by its name or its file, with every fault of it at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmarks.suite import files
from benchmarks.suite.config import Entry, Suite, Task, Teacher
from benchmarks.suite.protocol import Protocol
from benchmarks.suite.strict import Location, Strict, faults
from sid.fault import Fault

if TYPE_CHECKING:
    pass


def load_suite(name_or_path: str) -> Suite:
    """A suite by its name or its file; Fault tells all that is wrong with it."""
    from benchmarks.suite.checks import suite_faults

    given = files.resolve("suite", str(name_or_path))
    missing = _extend_protocols(given) + _add_protocols(given)
    try:
        suite = Suite.model_validate(given.content)
    except ValidationError as error:
        found = [*faults(error, Suite), *missing, *suite_faults(*_sound(given.content))]
    else:
        found = [*missing, *suite_faults(suite)]
    if found:
        raise Fault([given.sentence(at, what) for at, what in found])
    return suite


BEARING = {
    "tasks",
    "entries",
    "steps",
    "pairs",
    "prompts",
    "method",
    "control",
    "released",
    "source",
    "data",
}  # without these an item would seem to have other faults
SECTIONS: dict[str, type[Strict]] = {"teachers": Teacher, "tasks": Task, "entries": Entry, "protocols": Protocol}


def _sound(content: dict[str, Any]) -> tuple[Suite, dict[str, set[str]]]:
    """What of a faulty suite can still be checked, and the names of what cannot, so that all faults come at once."""
    sections: dict[str, Any] = {}
    broken: dict[str, set[str]] = {}
    for section, model in SECTIONS.items():
        items = content.get(section)
        sections[section], broken[section] = {}, set()
        for name, item in items.items() if isinstance(items, dict) else ():
            sound = _sound_item(model, item)
            if sound is None:
                broken[section].add(str(name))
            else:
                sections[section][str(name)] = sound
    return Suite.model_construct(seeds=(0,), **sections), broken


def _sound_item(model: type[Strict], item: Any) -> Strict | None:
    """The item, without the keys that are wrong where it can do without them."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    if not isinstance(item, dict) or not wrong or wrong & BEARING:
        return None
    try:
        return model.model_validate({key: value for key, value in item.items() if str(key) not in wrong})
    except ValidationError:
        return None


def _extend_protocols(given: files.Source) -> list[tuple[Location, str]]:
    """A suite's own protocol may begin as another one: what it says stands over what that one says."""
    found: list[tuple[Location, str]] = []
    own = given.content.get("protocols")
    if not isinstance(own, dict):
        return found
    for name, said in own.items():
        if isinstance(said, dict) and isinstance(said.get("extends"), str):
            try:
                base = files.resolve("protocol", said["extends"])
            except Fault as fault:
                found += [(("protocols", str(name), "extends"), sentence) for sentence in fault.sentences]
            else:
                own[name] = files.laid_over(base, {"name": name, **said}, given.file)
    return found


def _add_protocols(given: files.Source) -> list[tuple[Location, str]]:
    """Reads the protocols that the tasks name and the suite does not define; faults where there is none."""
    found: list[tuple[Location, str]] = []
    tasks = given.content.get("tasks")
    for task, settings in tasks.items() if isinstance(tasks, dict) else ():
        name = settings.get("protocol") if isinstance(settings, dict) else None
        own = given.content.get("protocols")
        if not isinstance(name, str) or (own is not None and not isinstance(own, dict)) or name in (own or {}):
            continue
        try:
            if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
                raise Fault(f"unknown protocol '{name}'")
            protocol = files.resolve("protocol", name)
        except Fault as fault:
            found += [(("tasks", str(task), "protocol"), sentence) for sentence in fault.sentences]
        else:
            given.graft(("protocols", name), protocol.file, protocol.content)
    return found

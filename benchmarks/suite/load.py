"""Reading a suite by its name or file; every fault of it is reported at once."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from benchmarks.suite import files
from benchmarks.suite.checks import suite_faults
from benchmarks.suite.config import Entry, Suite, Task, TeacherSection
from benchmarks.suite.protocol import Protocol
from benchmarks.suite.strict import NAME, Location, Strict, faults
from sid.fault import Fault

SECTIONS: dict[str, type[Strict]] = {
    "teachers": TeacherSection,
    "tasks": Task,
    "entries": Entry,
    "protocols": Protocol,
}
# Keys without which an item would seem to have other faults than it has.
ESSENTIAL = {"tasks", "entries", "steps", "pairs", "prompts", "method", "control", "released", "source", "data"}


def load_suite(name_or_path: str) -> Suite:
    """A suite by its name or its file; a Fault with every sentence about it."""
    given = files.resolve("suite", str(name_or_path))
    missing = _extend_protocols(given) + _add_protocols(given)
    try:
        suite = Suite.model_validate(given.content)
    except ValidationError as error:
        wrong = [*faults(error, Suite), *missing, *suite_faults(*_sound(given.content))]
    else:
        wrong = [*missing, *suite_faults(suite)]
    if wrong:
        raise Fault([given.sentence(at, what) for at, what in wrong])
    return suite


def _sound(content: dict[str, Any]) -> tuple[Suite, dict[str, set[str]]]:
    """The items of a faulty suite that can still be checked, and the names of the others by section."""
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
    """The item without its wrong keys; None if it cannot be judged without them."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        wrong = {str(detail["loc"][0]) for detail in error.errors() if detail["loc"]}
    if not isinstance(item, dict) or not wrong or wrong & ESSENTIAL:
        return None
    try:
        return model.model_validate({key: value for key, value in item.items() if str(key) not in wrong})
    except ValidationError:
        return None


def _extend_protocols(given: files.SuiteFile) -> list[tuple[Location, str]]:
    """Merges a suite's own protocols over those they extend; faults where one cannot be read."""
    wrong: list[tuple[Location, str]] = []
    own = given.content.get("protocols")
    if not isinstance(own, dict):
        return wrong
    for name, section in own.items():
        if isinstance(section, dict) and isinstance(section.get("extends"), str):
            try:
                base = files.resolve("protocol", section["extends"])
            except Fault as fault:
                wrong += [(("protocols", str(name), "extends"), sentence) for sentence in fault.sentences]
            else:
                own[name] = files.laid_over(base, {"name": name, **section}, given.file)
    return wrong


def _add_protocols(given: files.SuiteFile) -> list[tuple[Location, str]]:
    """Reads the protocols that tasks name and the suite does not define; faults where there is none."""
    wrong: list[tuple[Location, str]] = []
    tasks = given.content.get("tasks")
    for task, settings in tasks.items() if isinstance(tasks, dict) else ():
        name = settings.get("protocol") if isinstance(settings, dict) else None
        own = given.content.get("protocols")
        if not isinstance(name, str) or (own is not None and not isinstance(own, dict)) or name in (own or {}):
            continue
        try:
            if not re.fullmatch(NAME, name):
                raise Fault(f"unknown protocol '{name}'")
            protocol = files.resolve("protocol", name)
        except Fault as fault:
            wrong += [(("tasks", str(task), "protocol"), sentence) for sentence in fault.sentences]
        else:
            given.graft(("protocols", name), protocol.file, protocol.content)
    return wrong

"""Published models that a suite reads and that lie nowhere here, all at once: asked before a run, never for a plan."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import FOLDER
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.released import Released, describe, locate_file
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite, Teacher

PICKLED = (".pkl", ".pt")


def place_of(source: str) -> Path:
    """A published file as the suite names it, or one of its name in a folder of SIDBENCH_WEIGHTS."""
    folders = [Path(part).expanduser() for part in os.environ.get(FOLDER, "").split(os.pathsep) if part]
    places = [Path(source), *(folder / Path(source).name for folder in folders)]
    return next((place for place in places if place.is_file()), places[0])


def missing(suite: Suite) -> list[str]:
    """A sentence for every teacher, published generator and file of a method that is not there."""
    used = {suite.tasks[task].teacher for task, _, entry in suite.rows if not entry.released}
    told = [sentence for name in suite.teachers if name in used for sentence in _teacher(name, suite.teachers[name])]
    names = dict.fromkeys(entry.released for *_, entry in suite.rows if entry.released)
    told += [sentence for name in names for sentence in _released(describe(name))]
    for task, name, entry in suite.rows:
        if entry.method is not None:
            told += components.methods()[entry.method].missing(options_of(suite, task, name))
    return list(dict.fromkeys(told))


def _teacher(name: str, teacher: Teacher) -> Iterator[str]:
    if teacher.source is None:
        return
    place, family = place_of(teacher.source), components.teachers()[teacher.family]
    if place.suffix in PICKLED:
        if not place.is_file():
            yield f"there is no {teacher.source} (the teacher '{name}'), nor one of its name in a folder of ${FOLDER}"
    elif family.text:
        yield from _pipeline(family, teacher.source)
    elif not (place / "network.safetensors").is_file():
        yield f"there is no {place} (the teacher '{name}': a folder that `sidbench import` makes)"


def _released(described: Released) -> Iterator[str]:
    for file in (described.file, described.config):
        try:
            if file is not None:
                locate_file(str(described.repository), file, {})
        except Fault as fault:
            yield from fault.sentences
    base = described.repository if described.kind == "pipeline" else described.base
    if base is not None:
        yield from _pipeline(components.teachers()[described.family], base)


def _pipeline(family: Any, source: str) -> list[str]:
    try:
        family.check(Path(source))
    except Fault as fault:
        return fault.sentences
    return []

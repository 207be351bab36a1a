"""What a suite's types cannot say of its models, data, prompts and protocols: do the names exist, do they fit?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from benchmarks.data import prompts
from benchmarks.data.open import open_dataset
from benchmarks.suite import components
from benchmarks.suite.config import Suite, Task, Teacher
from benchmarks.suite.protocol import Column, PromptSource, Protocol
from benchmarks.suite.strict import Location, unknown
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.dataset import Dataset

Found = Iterator[tuple[Location, str]]


def known(at: Location, what: str, name: str, names: Iterable[str]) -> Found:
    """A name that must be one of these."""
    if name not in names:
        yield at, unknown(what, name, names)


def data_faults(at: Location, name: str, split: str | None = None) -> Found:
    """A data set by its name or path, and its split. Whether its files are there is asked before a run, not here."""
    try:
        data = open_dataset(name)
    except Fault as fault:
        if "/" not in name:
            yield from ((at, sentence) for sentence in fault.sentences)
        return
    if split is not None:
        yield from known((*at[:-1], "split"), "split", split, data.splits)


def _dataset(name: str | None) -> Dataset | None:
    """What is known of a data set without its files."""
    try:
        return open_dataset(name) if name else None
    except Fault:
        return None


def teacher_faults(at: Location, teacher: Teacher) -> Found:
    """Does the family fit the data it is to be trained on, or the published model it is to be read from?"""
    family, data = components.teachers().get(teacher.family), _dataset(teacher.data)
    if family is None:
        return
    if family.text:
        if not teacher.conditional:
            yield (*at, "conditional"), f"{teacher.family} reads text: it must be true"
        if teacher.source is None and data is not None and not data.vocabulary:
            yield (
                (*at, "data"),
                f"the data set {teacher.data} has no captions of few words to train {teacher.family} on",
            )
        if teacher.source is not None and teacher.resolution is None:
            yield (*at, "resolution"), f"{teacher.family} makes pictures of any size: say how many pixels a side"
    elif teacher.conditional and data is not None and not data.classes:
        yield (*at, "conditional"), f"the data set {teacher.data} has no classes"


def prompt_faults(suite: Suite, name: str, settings: Task) -> Found:
    """A model that reads text needs prompts to be trained on and to be scored on."""
    at = ("tasks", name)
    if settings.prompts is not None:
        yield from _source_faults((*at, "prompts"), settings.prompts)
    teacher = suite.teachers.get(settings.teacher)
    family = components.teachers().get(teacher.family) if teacher is not None else None
    if family is None:
        return
    protocol = suite.protocols.get(settings.protocol)
    trains = any(entry.method for entry in suite.entries_of(name).values())
    if settings.real is not None and (teacher is None or teacher.resolution is None):
        yield (*at, "real"), f"the teacher {settings.teacher} makes pixels: its real images are those of its data set"
    size, made = protocol.rules.size if protocol is not None else None, _side(teacher)
    if size is not None and made is not None and size != made and _samples_teacher(suite, name):
        what = f"{settings.protocol} scores pictures of {size} pixels, and the teacher {settings.teacher} makes {made}"
        yield (*at, "protocol"), what
    if family.text and trains and settings.prompts is None:
        yield (*at, "prompts"), f"the teacher {settings.teacher} reads text: name the prompts to train on"
    if family.text and protocol is not None and protocol.prompts is None:
        yield (*at, "protocol"), f"{settings.protocol} has no prompts, and the teacher {settings.teacher} reads text"


def _side(teacher: Teacher | None) -> int | None:
    """Pixels a side of what it makes, where that is known before it is opened."""
    if teacher is None or teacher.resolution is not None:
        return teacher.resolution if teacher is not None else None
    data = _dataset(teacher.data)
    return data.shape[-1] if data is not None else None


def _samples_teacher(suite: Suite, task: str) -> bool:
    """Whether anything of the task has the teacher's size: what others published has its own."""
    return any(entry.released is None and entry.control != "heldout" for entry in suite.entries_of(task).values())


def _source_faults(at: Location, asked: PromptSource) -> Found:
    """The list or the data set that prompts come from."""
    if asked.name is not None:
        yield from known((*at, "name"), "list of prompts", asked.name, prompts.LISTS)
    if asked.data is not None:
        yield from data_faults((*at, "data"), asked.data, asked.split)
        if (data := _dataset(asked.data)) is not None and not data.captioned:
            yield (*at, "data"), f"the data set {asked.data} has no captions"


def protocol_faults(name: str, protocol: Protocol) -> Found:
    at = ("protocols", name)
    if protocol.name != name:
        yield (*at, "name"), f"must be '{name}' (got '{protocol.name}')"
    if protocol.prompts is not None:
        yield from _source_faults((*at, "prompts"), protocol.prompts)
    for title, column in protocol.metrics.items():
        yield from _column_faults((*at, "metrics", title), column)
        if column.only is not None:
            yield from _source_faults((*at, "metrics", title, "only"), column.only)


def _column_faults(at: Location, column: Column) -> Found:
    yield from known((*at, "metric"), "metric", column.metric, components.metrics())
    yield from known((*at, "features"), "extractor", column.extractor, components.extractors())
    if column.extractor in components.extractors():
        outputs = components.extractors()[column.extractor].outputs
        yield from known((*at, "features"), f"output of {column.extractor}", column.output, outputs)
    if column.reference is not None:
        yield from data_faults((*at, "reference", "data"), column.reference.data, column.reference.split)
    if column.metric in components.metrics():
        metric = components.metrics()[column.metric]
        if metric.of_family and column.features not in metric.features:
            said = f"{column.metric} is a number of {metric.features[0]}"
            yield (*at, "features"), f"{said} (got {column.features}); the metric frechet takes any features"
        if metric.reference and column.reference is None:
            yield at, f"{column.metric} compares with a reference: name its data and split"
        for option, value in column.options.items():
            yield from (((*at, "options", option), sentence) for sentence in metric.faults({option: value}))

"""What of other people's data a suite needs: its teachers' images, its protocols' references and prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import assets
from benchmarks.assets import PICKLED, WEIGHTS_ENV, DataFile, find, missed, published_place
from benchmarks.data import prompts as prompt_lists
from benchmarks.data.base import FileDataset
from benchmarks.data.open import datasets, is_path, open_dataset
from benchmarks.data.pairs import open_pairs
from benchmarks.suite import components, files
from benchmarks.suite.checks import options_of
from benchmarks.suite.released import Released, describe, locate_file
from benchmarks.tables.published import published
from sid.discovery import UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.assets import Weight
    from benchmarks.data.base import Dataset
    from benchmarks.suite.config import Suite, Teacher
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Column, PromptSource, Protocol


ANY = "the suite's file, which says what lies there"
HOW = "yours to choose, as the paper says: a folder of images with NAME.txt beside NAME.jpg, or webdataset tars"


@dataclass
class Needed:
    """A data set or a list of prompts, and who reads it."""

    name: str
    kind: str  # "data set" | "prompts"
    readers: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    file: str | None = None  # of prompts that are no published list
    sha256: str = ""  # of prompts, as the suite states it

    paired: bool = False  # each image with its caption

    def dataset(self) -> Dataset:
        return open_dataset(self.name)

    @property
    def nowhere(self) -> bool:
        """Whether it is images at a path where nothing lies."""
        return self.kind == "data set" and is_path(self.name) and not assets.placed_data(Path(self.name)).exists()

    @property
    def owner(self) -> str:
        """The folder of its own that it may have below a data folder."""
        return "prompts" if self.kind == "prompts" else self.name.partition("@")[0]

    @property
    def files(self) -> tuple[DataFile, ...]:
        if self.kind == "prompts":
            return (prompt_lists.described(self.name, self.file).file,)
        if self.nowhere:
            what = "real images with captions" if self.paired else "images"
            return (
                DataFile(what, (Path(self.name).name,), "its publishers' own licence", HOW if self.paired else ANY),
            )
        dataset = self.dataset()
        return dataset.files if isinstance(dataset, FileDataset) else ()

    @property
    def given(self) -> Path | None:
        if self.kind == "prompts":
            return Path(self.file) if self.file else None
        if self.nowhere:
            return None
        dataset = self.dataset()
        return dataset.given if isinstance(dataset, FileDataset) else None

    def find(self, file: DataFile) -> Path | None:
        return assets.find_data(self.owner, file, self.given)

    @property
    def missing(self) -> list[DataFile]:
        """Files that it can't do without and that are nowhere."""
        return [file for file in self.files if file.needed and self.uses(file) and self.find(file) is None]

    def uses(self, file: DataFile) -> bool:
        """Whether the splits that are read need it."""
        return not file.splits or not {*file.splits}.isdisjoint(self.splits)

    def verify(self) -> Iterator[str]:
        """Every fault of what is there, a sentence each: prompts are read, archives opened, images counted."""
        readers: list[Callable[[], object]]
        if self.kind == "prompts":
            given = Path(self.file) if self.file else None
            readers = [partial(prompt_lists.read, self.name, given, self.sha256)]
        elif self.nowhere:
            return
        elif self.paired:
            readers = [partial(open_pairs, assets.placed_data(Path(self.name)))]
        else:
            readers = [partial(self.dataset().source, split) for split in self.splits]
        for reader in readers:
            try:
                reader()
            except assets.MissingData:
                continue  # that is no fault of what is there
            except Fault as fault:
                yield from fault.sentences


@dataclass(frozen=True)
class Reference:
    """A reference of a protocol's column, as it is prepared."""

    data: str
    split: str
    protocol: str
    column: Column


def of_suite(suite: Suite) -> list[Needed]:
    """Each data set and list once, with all its readers, in the order of the suite."""
    found: dict[tuple[str, str], Needed] = {}

    def need(kind: str, name: str, reader: str, split: str = "") -> Needed:
        one = found.setdefault((kind, name), Needed(name, kind))
        one.readers += [reader] if reader not in one.readers else []
        one.splits += [split] if split and split not in one.splits else []
        return one

    def prompts(asked: PromptSource | None, reader: str) -> None:
        if asked is not None and asked.data is not None:
            need("data set", asked.data, reader, asked.split)
        elif asked is not None:
            one = need("prompts", asked.name or str(asked.file), reader)
            one.file, one.sha256 = asked.file, asked.sha256

    for name, teacher in suite.teachers.items():
        if teacher.data is not None:
            need("data set", teacher.data, f"teacher {name}", _trained_on(teacher.data))
    for name, task in suite.tasks.items():
        prompts(task.prompts, f"task {name}")
        if task.real is not None:
            need("data set", task.real.pairs, f"task {name}", "all").paired = True
    for name, protocol in suite.protocols.items():
        prompts(protocol.prompts, f"protocol {name}")
        for title, column in protocol.metrics.items():
            prompts(column.only, f"{title} of {name}")
            if column.reference is not None:
                need("data set", column.reference.data, f"{title} of {name}", column.reference.split)
    return list(found.values())


def _trained_on(data: str) -> str:
    """The split a teacher's images or labels come from; none where it has another or nothing lies there."""
    try:
        return "train" if "train" in open_dataset(data).splits else ""
    except Fault:
        return ""


def of_all() -> list[Needed]:
    """Every data set and every list of prompts that the project knows."""
    from benchmarks.data.open import datasets

    sets = [Needed(name, "data set", splits=list(dataset.splits[:1])) for name, dataset in datasets().items()]
    return [*sets, *(Needed(name, "prompts") for name in prompt_lists.LISTS)]


def named(name: str) -> list[Needed]:
    """One data set (also by its path) or one list of prompts."""
    if name in prompt_lists.LISTS:
        return [Needed(name, "prompts")]
    if "@" not in name and not is_path(name) and name not in (known := datasets()):
        raise UnknownName(
            "suite, data set or list of prompts", name, [*files.names("suite"), *known, *prompt_lists.LISTS]
        )
    dataset = open_dataset(name)
    return [Needed(name, "data set", splits=list(dataset.splits[:1]))]


def references(suite: Suite) -> list[Reference]:
    """What `--prepare` makes: references of columns whose network is published, each once."""
    from benchmarks.suite.components import extractors

    found: dict[tuple[str, ...], Reference] = {}
    for name, protocol in suite.protocols.items():
        for column in protocol.metrics.values():
            if column.reference is None or extractors()[column.extractor].trained_here:
                continue
            key = (column.reference.data, column.reference.split, column.features, str(column.geometry))
            found.setdefault(key, Reference(column.reference.data, column.reference.split, name, column))
    return list(found.values())


def faults(suite: Suite) -> list[str]:
    """What stands against running the suite as far as its data goes: missing files and damaged ones, all at once."""
    told = []
    for need in of_suite(suite):
        if need.kind == "data set" and not need.nowhere and not isinstance(need.dataset(), FileDataset):
            continue  # it is made here
        folders = assets.data_folders(need.owner, need.given)
        told += [assets.MissingData(need.name, file, folders).sentences[0] for file in need.missing]
        told += need.verify()
    return list(dict.fromkeys(told))


def missing_models(suite: Suite) -> list[str]:
    """A sentence for every teacher, published generator and file of a method that is not there."""
    used = {suite.tasks[task].teacher for task, _, entry in suite.rows if not entry.released}
    told = [
        sentence for name in suite.teachers if name in used for sentence in _missing_teacher(name, suite.teachers[name])
    ]
    names = dict.fromkeys(entry.released for *_, entry in suite.rows if entry.released)
    told += [sentence for name in names for sentence in _missing_released(describe(name))]
    for task, name, entry in suite.rows:
        if entry.method is not None:
            told += components.methods()[entry.method].missing(options_of(suite, task, name))
    return list(dict.fromkeys(told))


def _missing_teacher(name: str, teacher: Teacher) -> Iterator[str]:
    if teacher.source is None:
        return
    place, family = published_place(teacher.source), components.teachers()[teacher.family]
    if place.suffix in PICKLED:
        if not place.is_file():
            place_words = f"nor one of its name in a folder of ${WEIGHTS_ENV}"
            yield f"there is no {teacher.source} (the teacher '{name}'), {place_words}"
    elif family.text:
        yield from _missing_pipeline(family, teacher.source)
    elif not (place / "network.safetensors").is_file():
        yield f"there is no {place} (the teacher '{name}': a folder that `sidbench import` makes)"


def _missing_released(described: Released) -> Iterator[str]:
    for file in (described.file, described.config):
        try:
            if file is not None:
                locate_file(str(described.repository), file, {})
        except Fault as fault:
            yield from fault.sentences
    base = described.repository if described.kind == "pipeline" else described.base
    if base is not None:
        yield from _missing_pipeline(components.teachers()[described.family], base)


def _missing_pipeline(family: Any, source: str) -> list[str]:
    try:
        family.check(Path(source))
    except Fault as fault:
        return fault.sentences
    return []


def obstacles(suite: Suite) -> list[str]:
    """Sentences, all at once: data, models, and the printed numbers that the tables will be held against."""
    told = faults(suite) + missing_models(suite)
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
            for weight in read_by(column):
                if find(weight) is None:
                    empty.setdefault(weight.name, {})[f"{name} of {task.protocol}"] = None
    return [
        f"the weights {weight}: without them {', '.join(columns)} will be unavailable (sidbench weights {suite.name} "
        "tells where they are looked for and how to get them)"
        for weight, columns in empty.items()
    ]


def read_by(column: Column) -> Iterator[Weight]:
    """The weights that a column's metric, with its options, and its network read."""
    yield from components.metrics()[column.metric].files(column.options)
    network = components.extractors().get(column.extractor)
    yield from network.weights if network is not None else ()


def completable(plan: Plan) -> list[Job]:
    """The runs that lack a value whose weights have come since they were scored.

    A training that is done stays done: its state is there, and only its samples are made and scored again.
    """
    if plan.suite.random_weights is not None:
        return []
    return [job for job in plan.of("run") if any(_come(column, reason) for column, reason in _empty(job, plan))]


def _empty(job: Job, plan: Plan) -> Iterator[tuple[Column, str]]:
    """The columns that a finished run could not compute, and why."""
    try:
        told = json.loads((job.folder / "scores.json").read_text(encoding="utf-8")).get("unavailable", {})
    except (OSError, ValueError, AttributeError):
        return
    columns = plan.suite.protocols[job.params["protocol"]].metrics
    yield from ((columns[name], str(reason)) for name, reason in told.items() if name in columns)


def _come(column: Column, reason: str) -> bool:
    """Whether the file that it lacked is there now, and every other. Any other reason would only be found again."""
    read = list(read_by(column))
    return any(missed(weight, reason) for weight in read) and all(find(weight) is not None for weight in read)


def weights_of(names: list[str]) -> dict[Weight, list[str]]:
    """Weight -> who reads it, for those named or for all."""
    from benchmarks.suite import components

    users = [*components.extractors(), *components.metrics()]
    found: dict[Weight, list[str]] = {}
    for name in names or users:
        for weight in _weights_read(name):
            if name not in found.setdefault(weight, []):
                found[weight].append(name)
    return found


def _weights_read(name: str) -> Iterator[Weight]:
    """Of one metric, extractor, protocol or suite."""
    from benchmarks.scoring.protocol import read
    from benchmarks.suite import components, files
    from benchmarks.suite.load import load_suite
    from sid.discovery import UnknownName

    extractors, metrics = components.extractors(), components.metrics()
    if name in extractors:
        yield from extractors[name].weights
    elif name in metrics:
        yield from metrics[name].weights
        yield from _weights_of_extractors(key.rpartition(".")[0] for key in metrics[name].features)
    elif name in files.names("protocol"):
        yield from _weights_of_columns(read(name))
    elif is_suite(name):
        suite = load_suite(name)
        for protocol in dict.fromkeys(task.protocol for task in suite.tasks.values()):
            yield from _weights_of_columns(suite.protocols[protocol])
    else:
        known = [*extractors, *metrics, *files.names("protocol"), *files.names("suite")]
        raise UnknownName("metric, extractor, protocol or suite", name, known)


def is_suite(name: str) -> bool:
    from benchmarks.suite import components, files

    others = (*components.extractors(), *components.metrics(), *files.names("protocol"))
    return name not in others and (name in files.names("suite") or name.endswith((".yaml", ".yml")))


def _weights_of_columns(protocol: Protocol) -> Iterator[Weight]:
    """What a protocol's metrics and their extractors read."""
    for column in protocol.metrics.values():
        yield from read_by(column)


def _weights_of_extractors(names: Iterable[str]) -> Iterator[Weight]:
    from benchmarks.suite import components

    known: dict[str, Any] = dict(components.extractors())
    for name in names:
        yield from known[name].weights if name in known else ()

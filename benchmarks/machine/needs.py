"""What a suite reads of other people's files: data, published models, weights of metrics; and what of it is missing.

`obstacles` are the sentences against running a suite; `unavailable` those about columns that will stay empty. Data and
models are searched for, weights are only looked up: nothing is downloaded, and only `DataNeed.verify` reads content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import assets
from benchmarks.assets import PICKLED, WEIGHTS_ENV, DataFile, find, reports_missing, resolve_weights
from benchmarks.data import prompts as prompt_lists
from benchmarks.data.base import FileDataset
from benchmarks.data.open import datasets, is_path, open_dataset
from benchmarks.data.pairs import open_pairs
from benchmarks.scoring.protocol import read as read_protocol
from benchmarks.suite import components, files
from benchmarks.suite.checks import options_of
from benchmarks.suite.load import load_suite
from benchmarks.suite.released import Released, describe, locate_file
from benchmarks.tables.papers import published
from sid.discovery import UnknownName
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    from benchmarks.assets import Weight
    from benchmarks.data.base import Dataset
    from benchmarks.suite.config import Suite, TeacherSection
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan
    from benchmarks.suite.protocol import Column, PromptSource, Protocol


IMAGES_SOURCE = "see the suite's file"
PAIRS_SOURCE = (
    "yours to choose, as the paper says: a folder of images with NAME.txt beside NAME.jpg, or webdataset tars"
)


# Before a suite runs


def obstacles(suite: Suite) -> list[str]:
    """Every sentence against running the suite: its data, its models, and the printed numbers of the tables."""
    return data_faults(suite) + missing_models(suite) + unreadable_numbers()


def unreadable_numbers() -> list[str]:
    """A sentence for every fault in the files of printed numbers, which every table reads."""
    try:
        published()
    except Fault as fault:
        return fault.sentences
    return []


def unavailable(suite: Suite) -> list[str]:
    """A sentence for each missing weight file: the columns that stay empty, and the verb that says how to get it."""
    if suite.random_weights is not None:
        return []
    columns_of: dict[str, dict[str, None]] = {}
    for protocol in protocols_of(suite):
        for name, column in protocol.metrics.items():
            for weight in weights_of_column(column):
                if find(weight) is None:
                    columns_of.setdefault(weight.name, {})[f"{name} of {protocol.name}"] = None
    return [
        f"the weights {weight}: without them {', '.join(columns)} will be unavailable (`sidbench weights {suite.name}` "
        "lists where they are looked for and how to get them)"
        for weight, columns in columns_of.items()
    ]


def completable(plan: Plan) -> list[Job]:
    """The finished runs that lack a value whose weights are present now.

    Their trainings stay: the states are there, and only their samples are made and scored again.
    """
    if plan.suite.random_weights is not None:
        return []
    return [job for job in plan.of("run") if any(_arrived(column, reason) for column, reason in _empty(job, plan))]


def _empty(job: Job, plan: Plan) -> Iterator[tuple[Column, str]]:
    """The columns that a finished run could not compute, with the recorded reasons."""
    try:
        reasons = parsed((job.folder / "scores.json").read_text(encoding="utf-8")).get("unavailable", {})
    except (OSError, ValueError, AttributeError):
        return
    columns = plan.suite.protocols[job.params["protocol"]].metrics
    yield from ((columns[name], str(reason)) for name, reason in reasons.items() if name in columns)


def _arrived(column: Column, reason: str) -> bool:
    """Whether the reason is a missing weight file and all the column's weights are present now.

    A run that lacks a value for any other reason would lack it again.
    """
    weights = list(weights_of_column(column))
    return any(reports_missing(reason, weight) for weight in weights) and all(find(weight) for weight in weights)


def protocols_of(suite: Suite) -> list[Protocol]:
    """The protocols that tasks are scored by, each once."""
    return [suite.protocols[name] for name in dict.fromkeys(task.protocol for task in suite.tasks.values())]


# Data sets and prompts


@dataclass
class DataNeed:
    """A data set or a list of prompts, and what reads it."""

    name: str
    kind: str  # "data set" | "prompts"
    readers: list[str] = field(default_factory=list)  # as messages name them
    splits: list[str] = field(default_factory=list)
    file: str | None = None  # of prompts that are no published list
    sha256: str = ""  # of prompts, if the suite states it
    paired: bool = False  # each image with its caption

    def dataset(self) -> Dataset:
        return open_dataset(self.name)

    @property
    def absent(self) -> bool:
        """Whether it is a path of images at which nothing exists."""
        return self.kind == "data set" and is_path(self.name) and not assets.resolve_data(Path(self.name)).exists()

    @property
    def owner(self) -> str:
        """The name of its own subfolder in a data folder."""
        return "prompts" if self.kind == "prompts" else self.name.partition("@")[0]

    @property
    def files(self) -> tuple[DataFile, ...]:
        """The published files that it consists of; none if it is made here."""
        if self.kind == "prompts":
            return (prompt_lists.list_named(self.name, self.file).file,)
        if self.absent:
            what, source = ("real images with captions", PAIRS_SOURCE) if self.paired else ("images", IMAGES_SOURCE)
            return (DataFile(what, (Path(self.name).name,), "its publishers' own licence", source),)
        dataset = self.dataset()
        return dataset.files if isinstance(dataset, FileDataset) else ()

    @property
    def given(self) -> Path | None:
        """The path at which the suite says it lies."""
        if self.kind == "prompts":
            return Path(self.file) if self.file else None
        if self.absent:
            return None
        dataset = self.dataset()
        return dataset.given if isinstance(dataset, FileDataset) else None

    def find(self, file: DataFile) -> Path | None:
        return assets.find_data(self.owner, file, self.given)

    @property
    def missing(self) -> list[DataFile]:
        """Required files that are nowhere."""
        return [file for file in self.files if file.needed and self.uses(file) and self.find(file) is None]

    def uses(self, file: DataFile) -> bool:
        """Whether the splits that are read need the file."""
        return not file.splits or not {*file.splits}.isdisjoint(self.splits)

    def verify(self) -> Iterator[str]:
        """A sentence for every fault of what is present: prompts are read, archives opened, images counted."""
        readers: list[Callable[[], object]]
        if self.kind == "prompts":
            given = Path(self.file) if self.file else None
            readers = [partial(prompt_lists.read, self.name, given, self.sha256)]
        elif self.absent:
            return
        elif self.paired:
            readers = [partial(open_pairs, assets.resolve_data(Path(self.name)))]
        else:
            readers = [partial(self.dataset().source, split) for split in self.splits]
        for reader in readers:
            try:
                reader()
            except assets.Missing:
                continue  # reported by `missing`
            except Fault as fault:
                yield from fault.sentences


@dataclass(frozen=True)
class PreparedReference:
    """A reference of a protocol's column, as `sidbench data --prepare` makes it ready."""

    data: str
    split: str
    protocol: str
    column: Column


def data_of_suite(suite: Suite) -> list[DataNeed]:
    """Each data set and list of prompts once, with everything that reads it, in the order of the suite."""
    needs: dict[tuple[str, str], DataNeed] = {}

    def add(kind: str, name: str, reader: str, split: str = "") -> DataNeed:
        need = needs.setdefault((kind, name), DataNeed(name, kind))
        need.readers += [reader] if reader not in need.readers else []
        need.splits += [split] if split and split not in need.splits else []
        return need

    def add_prompts(source: PromptSource | None, reader: str) -> None:
        if source is not None and source.data is not None:
            add("data set", source.data, reader, source.split)
        elif source is not None:
            need = add("prompts", source.name or str(source.file), reader)
            need.file, need.sha256 = source.file, source.sha256

    # Released generators are opened without their task's teacher.
    read = {suite.tasks[task].teacher for task, _, entry in suite.rows if not entry.released}
    for name, teacher in suite.teachers.items():
        if teacher.data is not None and name in read:
            add("data set", teacher.data, f"teacher {name}", _training_split(teacher.data))
    for name, task in suite.tasks.items():
        add_prompts(task.prompts, f"task {name}")
        if task.real is not None:
            add("data set", task.real.pairs, f"task {name}", "all").paired = True
    for protocol in protocols_of(suite):
        add_prompts(protocol.prompts, f"protocol {protocol.name}")
        for title, column in protocol.metrics.items():
            add_prompts(column.only, f"{title} of {protocol.name}")
            if column.reference is not None:
                add("data set", column.reference.data, f"{title} of {protocol.name}", column.reference.split)
    return list(needs.values())


def data_of_project() -> list[DataNeed]:
    """Every data set and every list of prompts that the project knows."""
    sets = [DataNeed(name, "data set", splits=list(dataset.splits[:1])) for name, dataset in datasets().items()]
    return [*sets, *(DataNeed(name, "prompts") for name in prompt_lists.LISTS)]


def data_named(name: str) -> list[DataNeed]:
    """One data set, by name or path, or one list of prompts."""
    if name in prompt_lists.LISTS:
        return [DataNeed(name, "prompts")]
    if "@" not in name and not is_path(name) and name not in (known := datasets()):
        raise UnknownName(
            "suite, data set or list of prompts", name, {*files.names("suite"), *known, *prompt_lists.LISTS}
        )
    return [DataNeed(name, "data set", splits=list(open_dataset(name).splits[:1]))]


def data_faults(suite: Suite) -> list[str]:
    """A sentence for every missing file and for every damaged one among the suite's data."""
    return list(dict.fromkeys(sentence for need in data_of_suite(suite) for sentence in faults_of(need)))


def faults_of(need: DataNeed) -> list[str]:
    """A sentence for every missing file and for every damaged one of a data set or list of prompts."""
    if need.kind == "data set" and not need.absent and not isinstance(need.dataset(), FileDataset):
        return []  # it is made here
    folders = assets.data_folders(need.owner, need.given)
    return [*(assets.Missing.data(need.name, file, folders).sentences[0] for file in need.missing), *need.verify()]


def references(suite: Suite) -> list[PreparedReference]:
    """The references of columns whose network is published, each once."""
    prepared: dict[tuple[str, ...], PreparedReference] = {}
    for protocol in protocols_of(suite):
        for column in protocol.metrics.values():
            if column.reference is None or components.extractors()[column.extractor].trained_here:
                continue
            data, split = column.reference.data, column.reference.split
            key = (data, split, column.features, str(column.geometry))
            prepared.setdefault(key, PreparedReference(data, split, protocol.name, column))
    return list(prepared.values())


def _training_split(data: str) -> str:
    """The split that a teacher's images or labels come from; none if it has another or does not exist."""
    try:
        return "train" if "train" in open_dataset(data).splits else ""
    except Fault:
        return ""


# Published models


def missing_models(suite: Suite) -> list[str]:
    """A sentence for everything missing of the suite's teachers, released generators and methods' own files."""
    sentences = [sentence for lacks in models_of(suite).values() for sentence in lacks]
    for task, name, entry in suite.rows:
        if entry.method is not None:
            sentences += components.methods()[entry.method].missing(options_of(suite, task, name))
    return list(dict.fromkeys(sentences))


def models_of(suite: Suite) -> dict[str, list[str]]:
    """Published teachers and generators that rows read (folder, file or repository) -> what of each is missing."""
    read = {
        suite.tasks[task].teacher for task, _, entry in suite.rows if not entry.released and entry.control != "heldout"
    }
    lacks: dict[str, list[str]] = {}
    for name, teacher in suite.teachers.items():
        if teacher.source is not None and name in read:
            lacks.setdefault(teacher.source, []).extend(_missing_of_teacher(name, teacher, teacher.source))
    for name in dict.fromkeys(entry.released for *_, entry in suite.rows if entry.released):
        for source, sentences in _missing_of_released(describe(name)):
            lacks.setdefault(source, []).extend(sentences)
    return lacks


def _missing_of_teacher(name: str, teacher: TeacherSection, source: str) -> Iterator[str]:
    place, family = resolve_weights(source), components.teachers()[teacher.family]
    if place.suffix in PICKLED:
        if not place.is_file():
            yield f"there is no {source} (the teacher '{name}'), nor one of its name in a folder of ${WEIGHTS_ENV}"
    elif family.text:
        yield from _missing_of_pipeline(family, source)
    elif not (place / "network.safetensors").is_file():
        yield f"there is no {place} (the teacher '{name}': a folder that `sidbench import` makes)"


def _missing_of_released(described: Released) -> Iterator[tuple[str, list[str]]]:
    """A generator's repository and its base, each with what is missing of it."""
    if described.repository is not None:
        sentences = []
        for file in (described.file, described.config):
            try:
                if file is not None:
                    locate_file(described.repository, file, {})
            except Fault as fault:
                sentences += fault.sentences
        yield described.repository, sentences
    base = described.repository if described.kind == "pipeline" else described.base
    if base is not None:
        yield base, _missing_of_pipeline(components.teachers()[described.family], base)


def _missing_of_pipeline(family: Any, source: str) -> list[str]:
    try:
        family.check(Path(source))
    except Fault as fault:
        return fault.sentences
    return []


# Weights of metrics and extractors


def weights_of(names: list[str]) -> dict[Weight, list[str]]:
    """Weight -> the names that read it.

    Args:
        names: Metrics, extractors, protocols and suites; empty: all metrics and extractors.
    """
    readers: dict[Weight, list[str]] = {}
    for name in names or [*components.extractors(), *components.metrics()]:
        for weight in _weights_of(name):
            if name not in readers.setdefault(weight, []):
                readers[weight].append(name)
    return readers


def weights_of_column(column: Column) -> Iterator[Weight]:
    """The weights of a column's metric, with its options, and of its extractor."""
    yield from components.metrics()[column.metric].files(column.options)
    extractor = components.extractors().get(column.extractor)
    yield from extractor.weights if extractor is not None else ()


def is_suite(name: str) -> bool:
    """Whether the name is that of a suite rather than of an extractor, a metric or a protocol."""
    others = (*components.extractors(), *components.metrics(), *files.names("protocol"))
    return name not in others and (name in files.names("suite") or name.endswith((".yaml", ".yml")))


def _weights_of(name: str) -> Iterator[Weight]:
    """The weights of one metric, extractor, protocol or suite."""
    extractors, metrics = components.extractors(), components.metrics()
    if name in extractors:
        yield from extractors[name].weights
    elif name in metrics:
        yield from metrics[name].weights
        for key in metrics[name].features:
            extractor = extractors.get(key.rpartition(".")[0])
            yield from extractor.weights if extractor is not None else ()
    elif name in files.names("protocol"):
        yield from _weights_of_protocols([read_protocol(name)])
    elif is_suite(name):
        yield from _weights_of_protocols(protocols_of(load_suite(name)))
    else:
        known = [*extractors, *metrics, *files.names("protocol"), *files.names("suite")]
        raise UnknownName("metric, extractor, protocol or suite", name, known)


def _weights_of_protocols(protocols: Iterable[Protocol]) -> Iterator[Weight]:
    for protocol in protocols:
        for column in protocol.metrics.values():
            yield from weights_of_column(column)

"""What of other people's data a suite needs: its teachers' images, its protocols' references and prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import datafile
from benchmarks.data import prompts as prompt_lists
from benchmarks.data.base import FileDataset
from benchmarks.data.open import is_path, open_dataset
from benchmarks.data.pairs import open_pairs
from benchmarks.datafile import DataFile
from benchmarks.suite import components, files
from sid.discovery import UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.dataset import Dataset
    from benchmarks.suite.config import Suite
    from benchmarks.suite.protocol import Column, PromptSource


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
        return self.kind == "data set" and is_path(self.name) and not datafile.placed(Path(self.name)).exists()

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
        return datafile.find(self.owner, file, self.given)

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
            readers = [partial(open_pairs, datafile.placed(Path(self.name)))]
        else:
            readers = [partial(self.dataset().source, split) for split in self.splits]
        for reader in readers:
            try:
                reader()
            except datafile.Missing:
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
    from benchmarks.suite.components import datasets

    sets = [Needed(name, "data set", splits=list(dataset.splits[:1])) for name, dataset in datasets().items()]
    return [*sets, *(Needed(name, "prompts") for name in prompt_lists.LISTS)]


def named(name: str) -> list[Needed]:
    """One data set (also by its path) or one list of prompts."""
    if name in prompt_lists.LISTS:
        return [Needed(name, "prompts")]
    if "@" not in name and not is_path(name) and name not in (known := components.datasets()):
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
        folders = datafile.folders(need.owner, need.given)
        told += [datafile.Missing(need.name, file, folders).sentences[0] for file in need.missing]
        told += need.verify()
    return list(dict.fromkeys(told))

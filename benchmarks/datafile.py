"""Data files of others: what they are, where they are looked for, present or missing. Never a download."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sid.fault import Fault

FOLDER = "SIDBENCH_DATA"  # one folder, or several with a colon between them
HERE = Path("data")


@dataclass(frozen=True)
class DataFile:
    """One file or folder that somebody published."""

    purpose: str
    names: tuple[str, ...]  # it goes by any of these, relative to a data folder
    licence: str
    source: str  # where a person gets it
    size: int = 0  # bytes, 0 where not known for certain
    needed: bool = True  # without it the data set can't be read; otherwise it only proves or adds something
    splits: tuple[str, ...] = ()  # that it is needed for; empty: all

    @property
    def words(self) -> str:
        size = f"{self.size:,} bytes, " if self.size else ""
        return f"{' or '.join(self.names)}, {size}{self.licence}"


class Missing(Fault):
    """A file that is nowhere: what it is, every folder that was searched, and where a person gets it."""

    def __init__(self, owner: str, file: DataFile, searched: list[Path]):
        folders = ", ".join(str(folder) for folder in searched)
        super().__init__(
            f"{owner} lacks {file.purpose} ({file.words}); looked in {folders}; how to get it: {file.source}; put it "
            f"into the folder that ${FOLDER} names"
        )


def roots() -> list[Path]:
    """The data folders, in order: those of SIDBENCH_DATA, then ./data."""
    named = [Path(part).expanduser() for part in os.environ.get(FOLDER, "").split(os.pathsep) if part]
    return [*named, HERE]


def folders(owner: str, explicit: Path | None = None) -> list[Path]:
    """Where a data set's files may lie: a given folder alone; else every root, and the data set's own folder in it."""
    if explicit is not None:
        return [explicit]
    return [folder for root in roots() for folder in (root / owner, root)]


def places(owner: str, file: DataFile, explicit: Path | None = None) -> Iterator[Path]:
    """Every path it is looked for at. A given path may also be the file itself."""
    if explicit is not None and explicit.name in {Path(name).name for name in file.names}:
        yield explicit
    yield from (folder / name for folder in folders(owner, explicit) for name in file.names)


def placed(path: Path) -> Path:
    """A path as it was given, or what has its name in a data folder where nothing lies at the path itself."""
    return next((place for place in (path, *(root / path.name for root in roots())) if place.exists()), path)


def find(owner: str, file: DataFile, explicit: Path | None = None) -> Path | None:
    """The first place where it lies, without reading it; a given path is the only place."""
    return next((path for path in places(owner, file, explicit) if path.exists()), None)


def locate(owner: str, file: DataFile, explicit: Path | None = None) -> Path:
    """As find; Missing where it is nowhere."""
    path = find(owner, file, explicit)
    if path is None:
        raise Missing(owner, file, folders(owner, explicit))
    return path

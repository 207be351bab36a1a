"""Whether the reference that was given is the data set that a protocol compares with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data.open import open_dataset
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.scoring.score import Result
    from benchmarks.suite.protocol import Protocol


def notes(protocol: Protocol, wanted: Iterable[str], given: Path, result: Result) -> list[str]:
    """A line per data set of the columns that were computed, unless the reference holds its very images."""
    columns = [protocol.metrics[name] for name in wanted if name in result.scores]
    sets = dict.fromkeys((column.reference.data, column.reference.split) for column in columns if column.reference)
    return [said for data, split in sets if (said := _note(protocol.name, data, split, given, result))]


def _note(protocol: str, data: str, split: str, given: Path, result: Result) -> str:
    """Byte for byte is certain; where that can't be told, it is said, and not that the reference is another."""
    named = f"{protocol} compares with {data}, {split}"
    digest = result.digests.get("reference") or _of_statistics(given)
    try:
        images = open_dataset(data).source(split)
    except (Fault, OSError):
        return f"{named}, which is not here: whether {given} is that was not checked"
    if result.reference is not None and result.reference != len(images):
        return f"{named}, {len(images):,} images; {given} has {result.reference:,}: the score is no score of {protocol}"
    if digest is None:
        return f"{named}; {given} does not say of which images it is"
    if digest != images.digest:
        return f"{named}; {given} is not the same byte for byte: other images, another order, or other files of them"
    return ""


def _of_statistics(given: Path) -> str | None:
    """The images that a file of this project's statistics was made of."""
    from benchmarks.features.store import read_file

    if given.suffix != ".safetensors":
        return None
    return read_file(given)[0].get("images")

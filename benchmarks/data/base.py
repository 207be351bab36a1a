"""The base classes of data sets: `Dataset`, and `FileDataset` for those that others published as files.

One class is one data set; a family may share a file. A data set that is made here derives from `Dataset` and defines
`images`, and `labels` or `captions` if it has them. A published one derives from `FileDataset` and lists its `files`;
it defines `opened` only if a split is not simply the images of the first file.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks.assets import DataFile, find_data, locate_data
from sid.discovery import Component, UnknownName
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.images.reading import Images

DECODED_LIMIT = 8 * 2**30  # bytes of decoded images that `images` returns at most
LABELS_FILE = "dataset.json"


class Dataset(Component, ABC):
    """Images with labels (or captions) in fixed splits."""

    shape: ClassVar[tuple[int, int, int]]  # channels, height, width
    classes: ClassVar[int] = 0
    captioned: ClassVar[bool] = False
    vocabulary: ClassVar[tuple[str, ...]] = ()  # all words of the captions, if they are few
    splits: ClassVar[tuple[str, ...]] = ("train", "heldout")

    @abstractmethod
    def images(self, split: str) -> np.ndarray:
        """uint8 images [N, C, H, W] of a split, always in the same order."""

    def source(self, split: str) -> Images:
        """The same images, read one at a time: not all need to be in memory."""
        from benchmarks.images.reading import Array

        return Array(self.images(split), f"{self.name}, {split}")

    def labels(self, split: str) -> np.ndarray:
        """Class labels [N]; refused if there are none."""
        raise TypeError(f"{self.name} has no labels")

    def captions(self, split: str) -> list[str]:
        """One caption per image of the split; refused if there are none."""
        raise TypeError(f"{self.name} has no captions")


class FileDataset(Dataset):
    """Images in an archive or folder. `source` reads one at a time; `images` decodes all, which small sets allow."""

    files: ClassVar[tuple[DataFile, ...]] = ()
    given: Path | None = None  # searched instead of the data folders

    def at(self, path: Path) -> FileDataset:
        """The same data set at a given path."""
        other = copy.copy(self)
        other.given = Path(path)
        return other

    def locate(self, file: DataFile) -> Path:
        return locate_data(self.name, file, self.given)

    def find(self, file: DataFile) -> Path | None:
        return find_data(self.name, file, self.given)

    def opened(self, split: str) -> Images:
        """The images of a split: by default those of the first file."""
        return open_cached(self.locate(self.files[0]))

    def source(self, split: str) -> Images:
        if split not in self.splits:
            raise UnknownName(f"split of {self.name}", split, self.splits)
        return self.opened(split)

    def images(self, split: str) -> np.ndarray:
        return _decode_all(self.source(split), self.name, self.shape)

    def labels(self, split: str) -> np.ndarray:
        if not self.classes:
            return super().labels(split)
        return read_labels(self.source(split), self.name, self.classes)


def open_cached(path: Path) -> Images:
    """The images at a path. An archive is indexed once while it is unchanged; a folder is listed at every call."""
    from benchmarks.images.reading import open_checked

    return open_checked(path) if path.is_dir() else _open_archive(path, path.stat().st_size, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _open_archive(path: Path, size: int, time: int) -> Images:
    from benchmarks.images.reading import open_checked

    return open_checked(path)


@lru_cache(maxsize=2)
def _decode_all(source: Images, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [N, C, H, W]; an image of another size is refused by its name."""
    import numpy as np

    from benchmarks.images.reading import Array, decode

    size = len(source) * shape[0] * shape[1] * shape[2]
    if size > DECODED_LIMIT:
        raise Fault(
            f"{name} has {len(source):,} images of {shape[1]} pixels, more than memory should hold: stream them"
        )
    if isinstance(source, Array) and source.pixels.shape[1:] == shape:
        return source.pixels
    pixels = np.empty((len(source), *shape), np.uint8)
    for index, file in enumerate(source.names):
        image = decode(source.read(index), file)[0]
        if image.shape[1:] != shape[1:]:
            size_of_image, size_of_set = f"{image.shape[2]} x {image.shape[1]}", f"{shape[2]} x {shape[1]}"
            raise Fault(f"{source.source}: {file} has {size_of_image} pixels, {name} has {size_of_set}")
        pixels[index] = image[: shape[0]]
    pixels.flags.writeable = False  # all callers share it
    return pixels


def labels_in(content: bytes | None, where: str) -> list[tuple[str, int]]:
    """(image, class) from the bytes of a dataset.json; empty where it holds none."""
    try:
        listed = parsed(content).get("labels") if content is not None else None
        return [(str(file), int(label)) for file, label in listed or ()]
    except (ValueError, TypeError, AttributeError):
        raise Fault(f'{where}: {LABELS_FILE} is no table of labels, {{"labels": [[image, class], ...]}}') from None


@lru_cache(maxsize=8)
def read_labels(source: Images, name: str, classes: int) -> np.ndarray:
    """Class labels [N] from the dataset.json that EDM's dataset_tool.py writes beside the images."""
    import numpy as np

    from benchmarks.images.reading import read_beside

    by_name = dict(labels_in(read_beside(source, LABELS_FILE), source.source))
    if not by_name:
        raise Fault(
            f"{source.source} has no labels: {LABELS_FILE} is missing or holds none; {name} has {classes} classes"
        )
    lacking = [file for file in source.names if file not in by_name]
    if lacking:
        raise Fault(
            f"{source.source}: {len(lacking):,} images have no label in {LABELS_FILE}, the first is {lacking[0]}"
        )
    labels = np.array([by_name[file] for file in source.names], np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        raise Fault(f"{source.source}: a label is {labels.max()}, {name} has {classes} classes, counted from 0")
    return labels

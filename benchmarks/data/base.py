"""Data sets that lie in files of others: found, opened as a stream of images, decoded only when somebody asks."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchmarks import assets
from benchmarks.assets import DataFile
from sid.discovery import Component, UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.images.reading import Images


class Dataset(Component, ABC):
    """Images with labels (or captions) in fixed splits."""

    shape: ClassVar[tuple[int, int, int]]  # channels, height, width
    classes: ClassVar[int] = 0
    captioned: ClassVar[bool] = False
    vocabulary: ClassVar[tuple[str, ...]] = ()  # of the captions, where they are made of few words
    splits: ClassVar[tuple[str, ...]] = ("train", "heldout")

    @abstractmethod
    def images(self, split: str) -> np.ndarray:
        """uint8 images [N, C, H, W] of a split, always in the same order."""

    def source(self, split: str) -> Images:
        """The same images one at a time, for passes that must not hold them all."""
        from benchmarks.images.reading import Array

        return Array(self.images(split), f"{self.name}, {split}")

    def labels(self, split: str) -> np.ndarray:
        """Class labels [N]; refused where there are none."""
        raise TypeError(f"{self.name} has no labels")

    def captions(self, split: str) -> list[str]:
        """One caption per image of the split; refused where there are none."""
        raise TypeError(f"{self.name} has no captions")


HELD = 8 * 2**30  # bytes of decoded images that `images` makes at most
LABELS = "dataset.json"


class FileDataset(Dataset):
    """Images in an archive or folder. `source` streams them; `images` holds them all, which small sets allow."""

    files: ClassVar[tuple[DataFile, ...]] = ()
    given: Path | None = None  # a path that is looked at instead of the data folders

    def at(self, path: Path) -> FileDataset:
        """The same data set at a given path."""
        other = copy.copy(self)
        other.given = Path(path)
        return other

    def locate(self, file: DataFile) -> Path:
        return assets.locate_data(self.name, file, self.given)

    def find(self, file: DataFile) -> Path | None:
        return assets.find_data(self.name, file, self.given)

    def opened(self, split: str) -> Images:
        """The images of a split; the default is the first file's."""
        return opened(self.locate(self.files[0]))

    def source(self, split: str) -> Images:
        if split not in self.splits:
            raise UnknownName(f"split of {self.name}", split, self.splits)
        return self.opened(split)

    def images(self, split: str) -> np.ndarray:
        return _decoded(self.source(split), self.name, self.shape)

    def labels(self, split: str) -> np.ndarray:
        if not self.classes:
            return super().labels(split)
        return labels_of(self.source(split), self.name, self.classes)


def opened(path: Path) -> Images:
    """The images at a path. An archive is indexed once while it stays the same; a folder does not tell what changed."""
    from benchmarks.images.reading import open_whole

    return open_whole(path) if path.is_dir() else _indexed(path, path.stat().st_size, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _indexed(path: Path, size: int, time: int) -> Images:
    from benchmarks.images.reading import open_whole

    return open_whole(path)


@lru_cache(maxsize=2)
def _decoded(source: Images, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [N, C, H, W]; images of another size are refused by name."""
    import numpy as np

    from benchmarks.images.reading import Array, decode

    size = len(source) * shape[0] * shape[1] * shape[2]
    if size > HELD:
        raise Fault(
            f"{name} has {len(source):,} images of {shape[1]} pixels, more than memory should hold: stream them"
        )
    if isinstance(source, Array) and source.pixels.shape[1:] == shape:
        return source.pixels
    pixels = np.empty((len(source), *shape), np.uint8)
    for index, file in enumerate(source.names):
        image = decode(source.read(index), file)[0]
        if image.shape[1:] != shape[1:]:
            found, wanted = f"{image.shape[2]} x {image.shape[1]}", f"{shape[2]} x {shape[1]}"
            raise Fault(f"{source.source}: {file} has {found} pixels, {name} has {wanted}")
        pixels[index] = image[: shape[0]]
    pixels.flags.writeable = False  # it is shared by all that ask
    return pixels


@lru_cache(maxsize=8)
def labels_of(source: Images, name: str, classes: int) -> np.ndarray:
    """Class labels [N] from the dataset.json that EDM's tools write beside the images."""
    import numpy as np

    from benchmarks.images.reading import beside

    content = beside(source, LABELS)
    told = json.loads(content).get("labels") if content is not None else None
    if not told:
        raise Fault(f"{source.source} has no labels: {LABELS} is missing or holds none; {name} has {classes} classes")
    by_name = {str(file): int(label) for file, label in told}
    lacking = [file for file in source.names if file not in by_name]
    if lacking:
        raise Fault(f"{source.source}: {len(lacking):,} images have no label in {LABELS}, the first is {lacking[0]}")
    labels = np.array([by_name[file] for file in source.names], np.int64)
    if labels.min() < 0 or labels.max() >= classes:
        raise Fault(f"{source.source}: a label is {labels.max()}, {name} has {classes} classes, counted from 0")
    return labels

"""A data set by its name, or any images by their path: a folder, zip, tar, npz or npy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import placed_data
from benchmarks.data.base import LABELS, Dataset, FileDataset, opened
from sid.discovery import UnknownName, discover
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.data.pairs import Pairs
    from benchmarks.images.reading import Images


def open_dataset(name: str) -> Dataset:
    """`name`, `name@path` for a known set at a given path, or the path of any images."""
    known = datasets()
    if name in known:
        return known[name]
    before, mark, path = name.partition("@")
    if mark and before in known:
        dataset = known[before]
        if not isinstance(dataset, FileDataset):
            raise Fault(f"the data set {before} is made here: it lies at no path")
        return dataset.at(Path(path))
    if is_path(name):
        return image_set(placed_data(Path(name)))
    raise UnknownName("data set", name, known)


def is_path(name: str) -> bool:
    """Whether a data set is named by where it lies, and not by what it is."""
    return name.partition("@")[0] not in datasets() and ("/" in name or Path(name).exists())


def stated(name: str) -> Mapping[str, int]:
    """The version of a data set under its plain name, for digests; images at a path have none but their path."""
    known = datasets().get(name.partition("@")[0])
    return {f"data:{known.name}": known.version} if known is not None else {}


class ImageSet(FileDataset):
    """Images at a path; both splits are all of them."""

    version = 1
    paper = "given by its path"
    splits = ("all", "train")

    def opened(self, split: str) -> Images:
        return _images(self._path)

    def captions(self, split: str) -> list[str]:
        return self._pairs().captions if self.captioned else super().captions(split)

    @property
    def _path(self) -> Path:
        assert self.given is not None, "made with a path"
        return self.given

    def _pairs(self) -> Pairs:
        from benchmarks.data.pairs import open_pairs

        return open_pairs(self._path)


def image_set(path: Path) -> ImageSet:
    """The images at a path. What other data sets declare is read off the first image and the files beside it."""
    from benchmarks.images.reading import beside, decode

    if not path.exists():
        raise Fault(f"there is no data set at {path}: it does not exist")
    images = _images(path)
    shape = decode(images.read(0), images.names[0])[0].shape
    told = beside(images, LABELS)
    labels = [label for _, label in json.loads(told).get("labels") or ()] if told else []
    declared = {
        "name": str(path),
        "shape": shape,
        "classes": max(labels, default=-1) + 1,
        "captioned": _captioned(path),
    }
    made: ImageSet = type("ImageSet", (ImageSet,), declared)()
    made.given = path
    return made


def _images(path: Path) -> Images:
    """Pictures in a folder or archive; a folder of tars holds pairs."""
    if not _shards(path):
        return opened(path)
    from benchmarks.data.pairs import open_pairs

    return open_pairs(path).images


def _shards(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.tar"))


def _captioned(path: Path) -> bool:
    from benchmarks.data.pairs import CAPTIONS

    if not path.is_dir():
        return path.suffix == ".tar" and _has_text(path)
    return _shards(path) or (path / CAPTIONS).is_file() or next(path.rglob("*.txt"), None) is not None


def _has_text(path: Path) -> bool:
    import tarfile

    with tarfile.open(path) as archive:
        return any(member.name.endswith(".txt") for member in archive)


@lru_cache
def datasets() -> Mapping[str, Dataset]:
    """Data sets with their splits and their conditions."""
    return discover(Dataset, ["benchmarks.data"])

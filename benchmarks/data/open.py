"""Opens a data set by its name, or any images by their path: a folder, zip, tar, npz or npy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assets import resolve_data
from benchmarks.data.base import LABELS_FILE, Dataset, FileDataset, labels_in, open_cached
from sid.discovery import UnknownName, discover
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.data.pairs import CaptionedImages
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
        return image_set(resolve_data(Path(name)))
    raise UnknownName("data set", name, known)


def is_path(name: str) -> bool:
    """Whether `open_dataset` takes the name for a path."""
    return name.partition("@")[0] not in datasets() and ("/" in name or Path(name).exists())


def dataset_version(name: str) -> Mapping[str, int]:
    """`{"data:NAME": version}` for digests; empty for images at a path, which have no version."""
    known = datasets().get(name.partition("@")[0])
    return {f"data:{known.name}": known.version} if known is not None else {}


def files_of(name: str, split: str, captions: bool = False) -> dict[str, Path]:
    """The files that decide a data set's split, by their published names; none if one that it needs is missing.

    Args:
        name: as `open_dataset` takes it.
        split: of the data set.
        captions: whether captions are read too, and not only images and labels.
    """
    before, _, path = name.partition("@")
    known = datasets().get(before)
    if known is None:
        place = resolve_data(Path(name))
        return {"images": place} if place.exists() else {}
    if not isinstance(known, FileDataset):
        return {}  # it is made here: its version stands for it
    dataset = known.at(Path(path)) if path else known
    files = {}
    for file in dataset.files:
        if (file.splits and split not in file.splits) or not (file.needed or captions):
            continue
        path_of_file = dataset.find(file)
        if path_of_file is None:
            if file.needed:
                return {}
            continue
        files[file.names[0]] = path_of_file
    return files


class ImageSet(FileDataset):
    """Images at a path; both splits are all images."""

    version = 1
    paper = "given by its path"
    splits = ("all", "train")

    def opened(self, split: str) -> Images:
        return _images(self._path)

    def captions(self, split: str) -> list[str]:
        return self._pairs().captions if self.captioned else super().captions(split)

    @property
    def _path(self) -> Path:
        assert self.given is not None, "image_set sets it"
        return self.given

    def _pairs(self) -> CaptionedImages:
        from benchmarks.data.pairs import open_pairs

        return open_pairs(self._path)


def image_set(path: Path) -> ImageSet:
    """The images at a path. The first image gives the shape; the files beside the images give classes and captions."""
    from benchmarks.images.reading import decode, read_beside

    if not path.exists():
        raise Fault(f"there is no data set at {path}: it does not exist")
    images = _images(path)
    shape = decode(images.read(0), images.names[0])[0].shape
    labels = [label for _, label in labels_in(read_beside(images, LABELS_FILE), str(path))]
    declared = {
        "name": str(path),
        "shape": shape,
        "classes": max(labels, default=-1) + 1,
        "captioned": _captioned(path),
    }
    dataset: ImageSet = type("ImageSet", (ImageSet,), declared)()
    dataset.given = path
    return dataset


def _images(path: Path) -> Images:
    """Images in a folder or archive; a folder of tars is a webdataset of image-caption pairs."""
    if not _has_tars(path):
        return open_cached(path)
    from benchmarks.data.pairs import open_pairs

    return open_pairs(path).images


def _has_tars(path: Path) -> bool:
    return path.is_dir() and any(path.glob("*.tar"))


def _captioned(path: Path) -> bool:
    from benchmarks.data.pairs import CAPTIONS_FILE

    if not path.is_dir():
        return path.suffix == ".tar" and _has_text(path)
    return _has_tars(path) or (path / CAPTIONS_FILE).is_file() or next(path.rglob("*.txt"), None) is not None


def _has_text(path: Path) -> bool:
    import tarfile

    with tarfile.open(path) as archive:
        return any(member.name.endswith(".txt") for member in archive)


@lru_cache
def datasets() -> Mapping[str, Dataset]:
    """Every data set by its name."""
    return discover(Dataset, ["benchmarks.data"])

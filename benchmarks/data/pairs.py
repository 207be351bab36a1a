"""Real images with their captions: a folder (NAME.txt beside NAME.jpg, or captions.json), or webdataset tars."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.images import archives
from benchmarks.images.archives import read_member
from benchmarks.images.reading import Folder, Images, image_name, natural, open_whole
from sid.fault import Fault

CAPTIONS = "captions.json"
TEXTS = (".txt", ".json")  # in a tar: the caption itself, or a table with the key `caption`


@dataclass(frozen=True)
class Pairs:
    """One caption per image, in the images' order; outer blanks are part of a caption."""

    images: Images
    captions: list[str]


def open_pairs(path: Path | str) -> Pairs:
    """The pairs at a path, by what lies there."""
    path = Path(path)
    if not path.exists():
        raise Fault(f"there are no pairs at {path}: it does not exist")
    shards = sorted(path.glob("*.tar")) if path.is_dir() else [path] if path.suffix == ".tar" else []
    if shards:
        shard = Shards(shards)
        return Pairs(shard, shard.captions)
    if not path.is_dir():
        raise Fault(f"{path} holds no pairs: a folder, a .tar file or a folder of them is needed")
    images = open_whole(path)
    assert isinstance(images, Folder)
    table = path / CAPTIONS
    told = _listed(table) if table.is_file() else _sidecars(images)
    silent = [name for name in images.names if not told.get(name, "").strip()]
    if silent:
        where = CAPTIONS if table.is_file() else "a .txt file of its name"
        raise Fault(
            f"{path}: {len(silent):,} of {len(images):,} images have no caption in {where}, the first is {silent[0]}"
        )
    return Pairs(images, [told[name] for name in images.names])


def _sidecars(images: Folder) -> dict[str, str]:
    files = {name: (images.path / name).with_suffix(".txt") for name in images.names}
    return {name: _caption(file.read_bytes(), str(file)) for name, file in files.items() if file.is_file()}


def _listed(file: Path) -> dict[str, str]:
    """A table of file names, a list of {file_name, caption}, or a caption file as COCO's: the first of each image."""

    try:
        told: Any = json.loads(file.read_bytes())
    except ValueError as error:
        raise Fault(f"{file} is no valid JSON: {error}") from None
    try:
        if isinstance(told, list):
            told = {row["file_name"]: row["caption"] for row in told}
        elif isinstance(told, dict) and "annotations" in told:
            told = {name: captions[0] for name, captions in images_with_captions(told, file).items()}
        if not isinstance(told, dict) or not all(isinstance(caption, str) for caption in told.values()):
            raise TypeError
    except (KeyError, TypeError):
        raise Fault(f"{file} must be a table of file name and caption, or a list of {{file_name, caption}}") from None
    return told


def _caption(content: bytes, where: str) -> str:
    """One line feed at the end is the editor's, not the caption's."""
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Fault(f"{where} is no text in UTF-8") from None


class Shards(Images):
    """Pairs of one key in plain tar files, in the order of the shards; images are read where they lie."""

    def __init__(self, paths: list[Path]):
        super().__init__(str(paths[0] if len(paths) == 1 else paths[0].parent))
        self.places: dict[str, tuple[Path, int, int]] = {}
        self.captions: list[str] = []
        self.names = []
        for path in paths:
            self._index(path)

    def _index(self, path: Path) -> None:
        images: dict[str, str] = {}
        texts: dict[str, str] = {}
        size = path.stat().st_size
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archives.whole_members(archive):
                    if not member.isfile():
                        continue
                    if member.offset_data + member.size > size:
                        raise tarfile.ReadError(f"{member.name} breaks off")
                    key = str(PurePosixPath(member.name).with_suffix(""))
                    if image_name(member.name):
                        name = f"{path.name}/{member.name}"
                        images[key], self.places[name] = name, (path, member.offset_data, member.size)
                    elif member.name.endswith(TEXTS):
                        content = archive.extractfile(member)
                        assert content is not None  # a plain file has content
                        for said in _text(member.name, content.read(), path):
                            texts[key] = said if member.name.endswith(".txt") else texts.get(key, said)
        except (tarfile.TarError, EOFError) as error:
            raise Fault(f"{path} is truncated or no plain tar ({error}): fetch it again") from None
        silent = [key for key in images if not texts.get(key, "").strip()]
        if silent or not images:
            told = (
                f"{len(silent):,} images have no caption, the first is {silent[0]}" if silent else "it holds no image"
            )
            raise Fault(f"{path}: {told}")
        for key in natural(list(images)):
            self.names.append(images[key])
            self.captions.append(texts[key])

    def read(self, index: int) -> bytes:
        path, offset, size = self.places[self.names[index]]
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)


def _text(name: str, content: bytes, path: Path) -> list[str]:
    """The caption in a file beside an image; a table without one says nothing."""
    if name.endswith(".txt"):
        return [_caption(content, f"{path}: {name}")]
    try:
        told = json.loads(content)
    except ValueError:
        raise Fault(f"{path}: {name} is no valid JSON") from None
    caption = told.get("caption") if isinstance(told, dict) else None
    return [caption] if isinstance(caption, str) else []


MEMBER = "annotations/captions_val2014.json"
YEAR = "val2014"


@dataclass(frozen=True)
class Annotation:
    """Captions by image, those of one image in the order of their ids."""

    captions: dict[str, tuple[str, ...]]  # file name -> captions, as written: outer blanks are part of them

    @property
    def every(self) -> list[str]:
        return [caption for said in self.captions.values() for caption in said]


@lru_cache(maxsize=2)
def read_annotation(path: Path, year: str = YEAR) -> Annotation:
    """captions_val2014.json, or the published zip that holds it."""
    content = read_member(path, MEMBER) if path.suffix == ".zip" else path.read_bytes()
    try:
        told = json.loads(content)
    except ValueError:
        raise Fault(f"{path} is no valid JSON: it is truncated or no annotation file") from None
    said = images_with_captions(told, path)
    prefix = f"COCO_{year}_"
    other = next((name for name in said if not name.startswith(prefix)), None)
    if other is not None:
        raise Fault(
            f"{path} is of another year or split: it lists {other}, and the images of {year} begin with {prefix}"
        )
    return Annotation(said)


def images_with_captions(told: Any, path: Path) -> dict[str, tuple[str, ...]]:
    """File name -> captions of any file in COCO's form, whatever its year."""
    try:
        images = {int(image["id"]): str(image["file_name"]) for image in told["images"]}
        rows = sorted(told["annotations"], key=lambda row: int(row["id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path} is no annotation file of COCO: it has no readable images and annotations") from None
    if any("caption" not in row for row in rows):
        raise Fault(f"{path} holds annotations without captions: captions_{YEAR}.json is the one with captions")
    said: dict[str, list[str]] = {name: [] for _, name in sorted(images.items())}
    for row in rows:
        image = row.get("image_id")
        if image not in images:
            raise Fault(f"{path} is damaged: caption {row['id']} is of image {image}, which it does not list")
        said[images[image]].append(str(row["caption"]))
    silent = [name for name, captions in said.items() if not captions]
    if silent:
        raise Fault(f"{path} is damaged: {len(silent)} images have no caption, the first is {silent[0]}")
    return {name: tuple(captions) for name, captions in said.items()}

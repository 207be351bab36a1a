"""Image-caption pairs: a folder (NAME.txt beside NAME.jpg, or captions.json), or webdataset tars."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.images.archives import complete_members, linked_file
from benchmarks.images.reading import Folder, Images, natural, open_checked
from benchmarks.images.selection import image_name, select
from sid.fault import Fault, parsed

CAPTIONS_FILE = "captions.json"
TEXT_SUFFIXES = (".txt", ".json")  # in a tar: the caption itself, or a table with the key `caption`


@dataclass(frozen=True)
class CaptionedImages:
    """One caption per image, in the order of the images; blanks around a caption are part of it."""

    images: Images
    captions: list[str]


def open_pairs(path: Path | str) -> CaptionedImages:
    """The pairs at a path: a folder of images, a tar, or a folder of tars."""
    path = Path(path)
    if not path.exists():
        raise Fault(f"there are no pairs at {path}: it does not exist")
    tars = sorted(path.glob("*.tar")) if path.is_dir() else [path] if path.suffix == ".tar" else []
    if tars:
        shards = WebdatasetImages(tars)
        return CaptionedImages(shards, shards.captions)
    if not path.is_dir():
        raise Fault(f"{path} holds no pairs: a folder, a .tar file or a folder of them is needed")
    images = open_checked(path)
    assert isinstance(images, Folder)
    table = path / CAPTIONS_FILE
    captions = _read_table(table) if table.is_file() else _read_text_files(images)
    without = [name for name in images.names if not captions.get(name, "").strip()]
    if without:
        where = CAPTIONS_FILE if table.is_file() else "a .txt file of its name"
        raise Fault(
            f"{path}: {len(without):,} of {len(images):,} images have no caption in {where}, the first is {without[0]}"
        )
    return CaptionedImages(images, [captions[name] for name in images.names])


def _read_text_files(images: Folder) -> dict[str, str]:
    files = {name: (images.path / name).with_suffix(".txt") for name in images.names}
    return {name: _decode(file.read_bytes(), str(file)) for name, file in files.items() if file.is_file()}


def _read_table(file: Path) -> dict[str, str]:
    """File name -> caption, from a table, a list of {file_name, caption}, or COCO's form (the first caption each)."""
    try:
        content: Any = parsed(file.read_bytes())
    except ValueError as error:
        raise Fault(f"{file} is no valid JSON: {error}") from None
    try:
        if isinstance(content, list):
            content = {row["file_name"]: row["caption"] for row in content}
        elif isinstance(content, dict) and "annotations" in content:
            content = {name: captions[0] for name, captions in parse_coco(content, file).items()}
        if not isinstance(content, dict) or not all(isinstance(caption, str) for caption in content.values()):
            raise TypeError
    except (KeyError, TypeError):
        raise Fault(f"{file} must be a table of file name and caption, or a list of {{file_name, caption}}") from None
    return content


def _decode(content: bytes, where: str) -> str:
    """UTF-8 without the line feed that editors add at the end."""
    try:
        return content.decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise Fault(f"{where} is no text in UTF-8") from None


class WebdatasetImages(Images):
    """Images of plain tars in the order of the tars, with the caption of the same key; each is read at its offset."""

    def __init__(self, paths: list[Path]):
        super().__init__(str(paths[0] if len(paths) == 1 else paths[0].parent))
        self.places: dict[str, tuple[Path, int, int]] = {}  # tar, offset and size
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
                members = [member for member in complete_members(archive) if not member.isdir()]
                select([member.name for member in members], str(path))
                for link in members:
                    if link.isfile() or image_name(link.name) or link.name.endswith(TEXT_SUFFIXES):
                        member = linked_file(archive, link, path)
                    else:
                        continue
                    if member.offset_data + member.size > size:
                        raise tarfile.ReadError(f"{member.name} breaks off")
                    key = str(PurePosixPath(link.name).with_suffix(""))
                    if image_name(link.name):
                        name = f"{path.name}/{link.name}"
                        if key in images:
                            raise Fault(f"{path} holds two images for the caption {key}: {images[key]} and {name}")
                        images[key], self.places[name] = name, (path, member.offset_data, member.size)
                    elif link.name.endswith(TEXT_SUFFIXES):
                        content = archive.extractfile(member)
                        assert content is not None  # a plain file has content
                        caption = _caption_in(link.name, content.read(), path)
                        if caption is not None and (link.name.endswith(".txt") or key not in texts):
                            texts[key] = caption
        except (tarfile.TarError, EOFError) as error:
            raise Fault(f"{path} is truncated or no plain tar ({error}): fetch it again") from None
        if not images:
            raise Fault(f"{path}: it holds no image")
        without = [key for key in images if not texts.get(key, "").strip()]
        if without:
            raise Fault(f"{path}: {len(without):,} images have no caption, the first is {without[0]}")
        for key in natural(list(images)):
            self.names.append(images[key])
            self.captions.append(texts[key])

    def read(self, index: int) -> bytes:
        path, offset, size = self.places[self.names[index]]
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(size)


def _caption_in(name: str, content: bytes, path: Path) -> str | None:
    """The caption in a tar's .txt or .json file; None if the table has none."""
    if name.endswith(".txt"):
        return _decode(content, f"{path}: {name}")
    try:
        table = parsed(content)
    except ValueError:
        raise Fault(f"{path}: {name} is no valid JSON") from None
    caption = table.get("caption") if isinstance(table, dict) else None
    return caption if isinstance(caption, str) else None


def parse_coco(content: Any, path: Path) -> dict[str, tuple[str, ...]]:
    """File name -> captions in the order of their ids, from the content of a caption file in COCO's form.

    Blanks around a caption are part of it. `path` is named in the faults.
    """
    try:
        images = {int(image["id"]): str(image["file_name"]) for image in content["images"]}
        rows = sorted(content["annotations"], key=lambda row: int(row["id"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path} is no annotation file of COCO: it has no readable images and annotations") from None
    if any("caption" not in row for row in rows):
        raise Fault(f"{path} holds annotations without captions: captions_val2014.json is the one with captions")
    captions: dict[str, list[str]] = {name: [] for _, name in sorted(images.items())}
    for row in rows:
        image = row.get("image_id")
        if image not in images:
            raise Fault(f"{path} is damaged: caption {row['id']} is of image {image}, which it does not list")
        captions[images[image]].append(str(row["caption"]))
    without = [name for name, texts in captions.items() if not texts]
    if without:
        raise Fault(f"{path} is damaged: {len(without)} images have no caption, the first is {without[0]}")
    return {name: tuple(texts) for name, texts in captions.items()}

"""Images to be scored: a folder, zip, tar, npz or npy, in natural order, hashed; nothing is ever unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.images import archives
from benchmarks.images.archives import _refuse_escapes, _refuse_truncated
from sid.fault import Fault

if TYPE_CHECKING:
    from PIL.Image import Image


EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
DAMAGED_FILES = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError)
PACKED_LIMIT = 4 * 2**30  # bytes of a compressed tar that are held in memory, since it can't be read in any order


class Images(ABC):
    """Named images whose undecoded contents are read one at a time, in natural order of their names."""

    names: list[str]

    def __init__(self, source: str):
        self.source = source

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes | np.ndarray:
        """A file's bytes, or uint8 pixels [C, H, W] where the source holds arrays."""

    def content(self, index: int) -> bytes | np.ndarray:
        """As `read`; an image that can't be read is named, for each archive library has its own errors."""
        try:
            return self.read(index)
        except Exception as error:
            raise Fault(f"{self.names[index]} can't be read from {self.source}: {error}") from error

    @cached_property
    def hashes(self) -> list[bytes]:
        """One digest of the content per image."""
        found = []
        for index in range(len(self)):
            content = self.content(index)
            data = content if isinstance(content, bytes) else str(content.shape).encode() + content.tobytes()
            found.append(hashlib.sha256(data).digest())
        return found

    @cached_property
    def digest(self) -> str:
        """Of the contents in order: equal for equal images, whatever holds them."""
        return hashlib.sha256(b"".join(self.hashes)).hexdigest()

    @property
    def duplicates(self) -> int:
        """How many images repeat an earlier one byte for byte."""
        return len(self.hashes) - len(set(self.hashes))

    def first(self, count: int) -> Images:
        """The first `count`; fewer than asked for are refused, never taken silently."""
        if count > len(self):
            raise Fault(f"{self.source} holds {len(self):,} images, {count:,} were asked for")
        return self if count == len(self) else Part(self, range(count))


class Part(Images):
    """Some images of another source."""

    def __init__(self, whole: Images, indices: range | list[int]):
        super().__init__(whole.source)
        self.whole, self.indices = whole, list(indices)
        self.names = [whole.names[index] for index in self.indices]

    def read(self, index: int) -> bytes | np.ndarray:
        return self.whole.read(self.indices[index])


class Folder(Images):
    """All image files under a folder; extensions in any case."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path = path
        named = [file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS]
        if lost := natural([str(file) for file in named if file.is_symlink() and not file.exists()]):
            more = f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""
            raise Fault(f"{', '.join(lost[:3])}{more}: a link to a file that is not there")
        self.names = natural([file.relative_to(path).as_posix() for file in named if file.is_file()])

    def read(self, index: int) -> bytes:
        return (self.path / self.names[index]).read_bytes()


class Zip(Images):
    """Members of a zip archive."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.archive = zipfile.ZipFile(path)
        members = (member.filename for member in self.archive.infolist() if not member.is_dir())
        self.names = natural([name for name in members if image_name(name)])

    def read(self, index: int) -> bytes:
        return self.archive.read(self.names[index])


class Tar(Images):
    """Plain files of a tar archive; a compressed one is read once and held."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path, self.held, self.places = path, dict[str, bytes](), dict[str, tuple[int, int]]()
        compressed = not _is_plain_tar(path)
        total = 0
        with tarfile.open(path) as archive:
            for member in archives.whole_members(archive):
                if not member.isfile() or not image_name(member.name):
                    continue
                self.places[member.name] = (member.offset_data, member.size)
                if compressed:
                    total += member.size
                    if total > PACKED_LIMIT:
                        raise Fault(f"{path} is compressed and holds more than {PACKED_LIMIT >> 30} GiB: unpack it")
                    content = archive.extractfile(member)
                    assert content is not None
                    self.held[member.name] = content.read()
        self.names = natural(list(self.places))

    def read(self, index: int) -> bytes:
        name = self.names[index]
        if name in self.held:
            return self.held[name]
        offset, size = self.places[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)


class Array(Images):
    """uint8 images [N, H, W, C], [N, C, H, W] or [N, H, W]; other types are refused, since their range is a guess."""

    def __init__(self, pixels: np.ndarray, source: str = "array"):
        super().__init__(source)
        self.pixels = channels_first(pixels, source)
        self.names = [f"image {index}" for index in range(len(pixels))]

    def read(self, index: int) -> np.ndarray:
        return self.pixels[index]


def open_images(path: Path | str) -> Images:
    """The images at a path, by what lies there."""
    path = Path(path)
    if not path.exists():
        raise Fault(f"there are no images at {path}: it does not exist")
    try:
        images = _open(path)
    except DAMAGED_FILES as error:
        raise Fault(f"{path} can't be read: {error}") from error
    if not len(images):
        raise Fault(f"{path} holds no images: none of {', '.join(EXTENSIONS)}")
    return images


def _open(path: Path) -> Images:
    if path.is_dir():
        return Folder(path)
    if path.suffix.lower() in (".npz", ".npy"):
        return Array(_array(path), str(path))
    if zipfile.is_zipfile(path):
        return Zip(path)
    if tarfile.is_tarfile(path):
        return Tar(path)
    raise Fault(f"{path} is neither a folder nor a zip, tar, npz or npy file of images")


def _array(path: Path) -> np.ndarray:
    """The one array of the file, or the one called `images` or `arr_0`; never a pickled object."""
    if not archives.is_npz(path):
        return archives.single_array(path)
    held = archives.array_names(path)
    names = [name for name in ("images", "arr_0") if name in held] or held
    if len(names) != 1 and names[:1] != ["images"]:
        raise Fault(f"{path} holds {', '.join(names) or 'no array'}: call the images 'images'")
    return archives.named_array(path, names[0])


def channels_first(pixels: np.ndarray, source: str) -> np.ndarray:
    """[N, C, H, W] of what is certainly uint8 images."""
    if pixels.dtype != np.uint8:
        low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
        seen = "NaN or infinity" if not np.isfinite([low, high]).all() else f"values from {low:g} to {high:g}"
        raise Fault(f"{source} holds {pixels.dtype} with {seen}, not uint8: quantise it by a rule you can name")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[3] in (1, 3, 4) and pixels.shape[1] not in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise Fault(f"{source} has shape {list(pixels.shape)}: [N, H, W, 3], [N, 3, H, W] or [N, H, W] is needed")
    return pixels


def decode(content: bytes | np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """uint8 pixels [3, H, W] and the mode they came in; Fault names what can't be read without a guess."""
    if isinstance(content, np.ndarray):
        return np.broadcast_to(content, (3, *content.shape[1:])), "L" if len(content) == 1 else "RGB"
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            deep = bits_per_channel(image, content)
            if mode.startswith(("I", "F")) or deep > 8:
                told = mode if mode.startswith(("I", "F")) else f"{deep}-bit {mode}"
                raise Fault(f"{name} has {told} pixels (more than 8 bits): scale it to 8 bits by a rule you can name")
            pixels = np.asarray(image if mode == "RGB" else image.convert("RGB"))
    except Fault:
        raise
    except UnidentifiedImageError as error:
        raise Fault(f"{name} can't be decoded: it is no image that Pillow knows") from error
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        told = (str(error).splitlines() or [""])[0][:120]
        raise Fault(f"{name} can't be decoded: {type(error).__name__}: {told}") from error
    return pixels.transpose(2, 0, 1), mode


def image_name(name: str) -> bool:
    """An image by its extension; the resource forks that some archives carry are none."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS and not name.startswith("__MACOSX/")


def natural(names: list[str]) -> list[str]:
    """img2 before img10: the order in which captions are paired."""
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False


PNG_START, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the first chunk is the header, its depth stands at that byte
TIFF_BITS = 258  # the tag BitsPerSample


def bits_per_channel(image: Image, content: bytes) -> int:
    """Of an opened file; 8 where its format knows no more."""
    if content.startswith(PNG_START):
        return content[PNG_DEPTH]
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        return max(tags.get(TIFF_BITS, (8,)))
    if image.format == "PPM":
        tile: Any = getattr(image, "tile", ())
        args = tile[0].args
        return 16 if isinstance(args, tuple) and isinstance(args[-1], int) and args[-1] > 255 else 8
    return 8


SHOWN_FAULTS = 20  # that are told one by one


def refuse_damaged(*sets: Images) -> None:
    """Reads and decodes every image of the sets; returns where nothing is wrong with any."""
    told: list[str] = []
    for images in sets:
        told += shown_faults(
            [sentence for index in range(len(images)) for sentence in _decoding_faults(images, index)], images.source
        )
    if told:
        raise Fault(told)


def shown_faults(faults: Sequence[str], source: str) -> list[str]:
    """The first of them, and how many more there are."""
    more = [f"and {len(faults) - SHOWN_FAULTS} more images of {source}"] if len(faults) > SHOWN_FAULTS else []
    return [*faults[:SHOWN_FAULTS], *more]


def _decoding_faults(images: Images, index: int) -> list[str]:
    try:
        decode(images.content(index), images.names[index])
    except Fault as fault:
        return fault.sentences
    return []


def open_whole(path: Path) -> Images:
    """As open_images; an archive that breaks off or names files outside of itself is refused."""
    _refuse_truncated(path)
    images = open_images(path)
    _refuse_escapes(images.names, path)
    return images


def beside(images: Images, name: str) -> bytes | None:
    """Another file at the root of the same folder or zip; None where there is none."""
    if isinstance(images, Folder):
        file = images.path / name
        return file.read_bytes() if file.is_file() else None
    if isinstance(images, Zip):
        return images.archive.read(name) if name in images.archive.namelist() else None
    return None

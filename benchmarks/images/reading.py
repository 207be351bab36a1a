"""Reads images from a folder, zip, tar, npz or npy: in natural order, hashed, decoded to uint8, never unpacked to disk.

`open_images(path)` returns `Images`, whose undecoded contents are read one at a time; `decode` makes pixels of one.
A new container is a subclass of `Images` with `names` and `read`, and a line in `_open`.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.images import archives
from benchmarks.images.archives import ARCHIVE_ERRORS, refuse_outside_names, refuse_truncated
from benchmarks.images.listing import files_under
from benchmarks.images.selection import EXTENSIONS, Chosen, ending_of, image_name, printable, select, some
from sid.fault import Fault

if TYPE_CHECKING:
    from PIL.Image import Image


MEMORY_LIMIT = 4 * 2**30  # bytes of images in a compressed tar, which is kept in memory: it has no random access
SHOWN_FAULTS = 20  # are listed; the others are counted
PNG_MAGIC, PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the byte of the first chunk, the header, that holds the bit depth
TIFF_BITS = 258  # the tag BitsPerSample
EXIF_ORIENTATION, UPRIGHT = 274, 1  # the tag Orientation, and its value for an image that is stored upright
# What a file may state beyond its pixels -> whether an image does. All protocols' readers ignore it, and so do we.
STATED: Mapping[str, Callable[[Image], bool]] = {
    "EXIF orientation": lambda image: image.getexif().get(EXIF_ORIENTATION, UPRIGHT) not in (0, UPRIGHT),
    "further frames": lambda image: bool(getattr(image, "is_animated", False)),
    "transparent colour": lambda image: "transparency" in image.info,
    "ICC profile": lambda image: bool(image.info.get("icc_profile")),
}


class Images(ABC):
    """Named images whose undecoded contents are read one at a time, in natural order of their names."""

    names: list[str]

    def __init__(self, source: str, selection: Chosen | None = None):
        self.source = source
        self.passed_over = selection.sentence if selection is not None else ""  # what beside the images was found

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes | np.ndarray:
        """A file's bytes, or uint8 pixels [C, H, W] where the source holds arrays."""

    def content(self, index: int) -> bytes | np.ndarray:
        """As `read`, but any error of an archive library becomes a Fault that names the image."""
        try:
            return self.read(index)
        except Exception as error:
            raise Fault(f"{printable(self.names[index])} can't be read from {self.source}: {error}") from error

    @cached_property
    def hashes(self) -> list[bytes]:
        """The sha256 of each image's content."""
        hashes = []
        for index in range(len(self)):
            content = self.content(index)
            data = content if isinstance(content, bytes) else str(content.shape).encode() + content.tobytes()
            hashes.append(hashlib.sha256(data).digest())
        return hashes

    @cached_property
    def digest(self) -> str:
        """The sha256 of all contents in order: equal images have equal digests in every container."""
        return hashlib.sha256(b"".join(self.hashes)).hexdigest()

    @property
    def duplicates(self) -> int:
        """How many images repeat an earlier one byte for byte."""
        return len(self.hashes) - len(set(self.hashes))

    def remarks(self) -> list[str]:
        """What was passed over, and repeated images: padding of a sampler (a few), or a collapsed generator (many)."""
        remarks = [self.passed_over] if self.passed_over else []
        if count := self.duplicates:
            share = f"{count:,} of {len(self):,} ({count / len(self):.2g})"
            remarks.append(f"{share} repeat another one byte for byte")
        return remarks

    def first(self, count: int) -> Images:
        """The first `count` images; refused if there are fewer."""
        if count > len(self):
            raise Fault(f"{self.source} holds {len(self):,} images, {count:,} were asked for")
        return self if count == len(self) else Subset(self, range(count))


class Subset(Images):
    """Some images of another collection."""

    def __init__(self, whole: Images, indices: range | list[int]):
        super().__init__(whole.source)
        self.passed_over = whole.passed_over
        self.whole, self.indices = whole, list(indices)
        self.names = [whole.names[index] for index in self.indices]

    def read(self, index: int) -> bytes | np.ndarray:
        return self.whole.read(self.indices[index])


class Folder(Images):
    """All image files under a folder, those in linked folders too; extensions in any case."""

    def __init__(self, path: Path):
        entries = dict(files_under(path))
        lost = [name for name, entry in entries.items() if entry.is_symlink() and not entry.is_file()]
        # A link without an ending may be one to a folder of images that is not mounted.
        if broken := natural([str(path / name) for name in lost if image_name(name) or not ending_of(name)]):
            raise Fault(f"{some(broken)}: a link to a file that is not there")
        selection = select(entries, str(path))
        if odd := [name for name in selection.names if not entries[name].is_file()]:
            raise Fault(f"{path} holds {some(odd)}, which is no file (a device or a pipe)")
        super().__init__(str(path), selection)
        self.path = path
        self.names = natural(selection.names)

    def read(self, index: int) -> bytes:
        return (self.path / self.names[index]).read_bytes()


class Zip(Images):
    """Members of a zip archive."""

    def __init__(self, path: Path):
        self.archive = zipfile.ZipFile(path)
        selection = select((info.filename for info in self.archive.infolist() if not info.is_dir()), str(path))
        super().__init__(str(path), selection)
        self.names = natural(selection.names)

    def read(self, index: int) -> bytes:
        return self.archive.read(self.names[index])


class Tar(Images):
    """Files of a tar archive, links to them included; a compressed archive is read once and kept in memory."""

    def __init__(self, path: Path):
        self.path = path
        self.contents: dict[str, bytes] = {}  # by name, if the archive is compressed
        compressed = not _is_plain_tar(path)
        self.places: dict[str, tuple[int, int]] = {}  # offset and size by name
        total = 0
        with tarfile.open(path) as archive:
            members = [member for member in archives.complete_members(archive) if not member.isdir()]
            selection = select([member.name for member in members], str(path))
            wanted = set(selection.names)
            for member in members:
                if member.name not in wanted:
                    continue
                stored = archives.linked_file(archive, member, path)
                self.places[member.name] = (stored.offset_data, stored.size)
                if compressed:
                    total += stored.size
                    if total > MEMORY_LIMIT:
                        raise Fault(f"{path} is compressed and holds more than {MEMORY_LIMIT >> 30} GiB: unpack it")
                    content = archive.extractfile(stored)
                    assert content is not None
                    self.contents[member.name] = content.read()
        super().__init__(str(path), selection)
        self.names = natural(selection.names)

    def read(self, index: int) -> bytes:
        name = self.names[index]
        if name in self.contents:
            return self.contents[name]
        offset, size = self.places[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)


class Array(Images):
    """uint8 images [N, H, W, C], [N, C, H, W] or [N, H, W]; other types are refused, since their range is unknown."""

    def __init__(self, pixels: np.ndarray, source: str = "array"):
        super().__init__(source)
        self.pixels = channels_first(pixels, source)
        self.names = [f"image {index}" for index in range(len(pixels))]

    def read(self, index: int) -> np.ndarray:
        return self.pixels[index]


def open_images(path: Path | str) -> Images:
    """The images at a path: a folder, zip, tar, npz or npy."""
    path = Path(path)
    if not path.exists():
        raise Fault(f"there are no images at {path}: it does not exist")
    try:
        images = _open(path)
    except (*ARCHIVE_ERRORS, ValueError) as error:
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
    """The only array of the file, or the one named `images` or `arr_0`; never a pickled object."""
    if not archives.is_npz(path):
        return archives.read_npy(path)
    stored = archives.npz_names(path)
    names = [name for name in ("images", "arr_0") if name in stored] or stored
    if len(names) != 1 and names[:1] != ["images"]:
        raise Fault(f"{path} holds {', '.join(names) or 'no array'}: call the images 'images'")
    return archives.read_npz(path, names[0])


def channels_first(pixels: np.ndarray, source: str) -> np.ndarray:
    """uint8 images as [N, C, H, W]; refuses arrays of another type or shape."""
    if pixels.dtype.kind not in "buif":
        raise Fault(f"{source} holds {pixels.dtype}, and uint8 is needed")
    if pixels.dtype != np.uint8:
        low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
        content = "NaN or infinity" if not np.isfinite([low, high]).all() else f"values from {low:g} to {high:g}"
        raise Fault(f"{source} holds {pixels.dtype} with {content}, not uint8: quantise it by a rule you can name")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[3] in (1, 3, 4) and pixels.shape[1] not in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise Fault(f"{source} has shape {list(pixels.shape)}: [N, H, W, 3], [N, 3, H, W] or [N, H, W] is needed")
    return pixels


class TooDeep(Fault):
    """An image of more than 8 bits a channel, which other readers clip without a word."""


@dataclass(frozen=True)
class Decoded:
    """An image as every protocol reads it: Pillow's first frame as RGB, as it is stored."""

    pixels: np.ndarray  # uint8 [3, H, W]
    mode: str  # of the file: RGB, L, P, ...
    unused: tuple[str, ...] = ()  # what the file states and no protocol uses: see `STATED`


def decode(content: bytes | np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """uint8 pixels [3, H, W] and the mode of the file (RGB, L, P, ...); refuses more than 8 bits per channel."""
    decoded = decode_whole(content, name)
    return decoded.pixels, decoded.mode


def decode_whole(content: bytes | np.ndarray, name: str) -> Decoded:
    """As `decode`, with what the file states beyond its pixels."""
    if isinstance(content, np.ndarray):
        return Decoded(np.broadcast_to(content, (3, *content.shape[1:])), "L" if len(content) == 1 else "RGB")
    from PIL import Image, UnidentifiedImageError

    name = printable(name)
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            deep = bits_per_channel(image, content)
            if mode.startswith(("I", "F")) or deep > 8:
                kind = mode if mode.startswith(("I", "F")) else f"{deep}-bit {mode}"
                raise TooDeep(f"{name} has {kind} pixels (more than 8 bits): scale it to 8 bits by a rule you can name")
            pixels = np.asarray(image if mode == "RGB" else image.convert("RGB"))
            unused = tuple(what for what, states in STATED.items() if states(image))
    except Fault:
        raise
    except UnidentifiedImageError as error:
        raise Fault(f"{name} can't be decoded: it is no image that Pillow knows") from error
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        reason = (str(error).splitlines() or [""])[0][:120]
        raise Fault(f"{name} can't be decoded: {type(error).__name__}: {reason}") from error
    return Decoded(pixels.transpose(2, 0, 1), mode, unused)


def natural(names: list[str]) -> list[str]:
    """Sorted with img2 before img10; captions are paired in this order."""
    # Only decimal digits are numbers: int() refuses others, such as the superscript two.
    return sorted(
        names, key=lambda name: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
    )


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except tarfile.TarError:
        return False


def bits_per_channel(image: Image, content: bytes) -> int:
    """Of an opened file; 8 for formats that have no more. Pillow would reduce deeper ones silently."""
    if content.startswith(PNG_MAGIC):
        return content[PNG_DEPTH]
    if image.format == "JPEG2000" and (place := content.find(b"\xff\x4f\xff\x51")) >= 0:
        depths = content[place + 42 : place + 42 + 3 * len(image.getbands()) : 3]
        return max((1 + (depth & 0x7F) for depth in depths), default=8)
    if image.format == "AVIF" and (place := content.find(b"av1C")) >= 0:
        return 10 if content[place + 6 : place + 7] >= b"\x40" and content[place + 6] & 0x40 else 8
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        return max(tags.get(TIFF_BITS, (8,)))
    if image.format == "PPM":
        tile: Any = getattr(image, "tile", ())
        args = tile[0].args
        return 16 if isinstance(args, tuple) and isinstance(args[-1], int) and args[-1] > 255 else 8
    return 8


def refuse_undecodable(*sets: Images, deep: bool = True) -> None:
    """Reads and decodes every image of the sets; one Fault lists all that can't be, `deep` ones among them."""
    faults: list[str] = []
    for images in sets:
        listed = [sentence for index in range(len(images)) for sentence in _decoding_faults(images, index, deep)]
        faults += shorten_faults(listed, images.source)
    if faults:
        raise Fault(faults)


def shorten_faults(faults: Sequence[str], source: str) -> list[str]:
    """The first faults of a collection, and how many more there are."""
    more = [f"and {len(faults) - SHOWN_FAULTS} more images of {source}"] if len(faults) > SHOWN_FAULTS else []
    return [*faults[:SHOWN_FAULTS], *more]


def _decoding_faults(images: Images, index: int, deep: bool) -> list[str]:
    try:
        decode(images.content(index), images.names[index])
    except TooDeep as fault:
        return fault.sentences if deep else []
    except Fault as fault:
        return fault.sentences
    return []


def open_checked(path: Path) -> Images:
    """As `open_images`, but refuses a truncated archive with its cause, and one that names files outside of itself."""
    refuse_truncated(path)
    images = open_images(path)
    refuse_outside_names(images.names, path)
    return images


def read_beside(images: Images, name: str) -> bytes | None:
    """Another file at the root of the same folder or zip; None if there is none."""
    if isinstance(images, Folder):
        file = images.path / name
        return file.read_bytes() if file.is_file() else None
    if isinstance(images, Zip):
        return images.archive.read(name) if name in images.archive.namelist() else None
    return None

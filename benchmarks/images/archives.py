"""Archives of others, read and never unpacked: a truncated one is told in a sentence, a hostile name opens nothing."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from benchmarks import tars
from benchmarks.images.reading import Folder, Images, Zip, open_images
from sid.fault import Fault

DAMAGED = (EOFError, OSError, zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile)
ZIP_START, GZIP_START = b"PK\x03\x04", b"\x1f\x8b"


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


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files of a tar (compressed or not), in its order."""
    try:
        with tarfile.open(path) as archive:
            for member in tars.members(archive):
                if member.isfile():
                    _refuse_escapes([member.name], path)
                    content = archive.extractfile(member)
                    assert content is not None  # a plain file has content
                    yield member.name, content.read()
    except DAMAGED as error:
        raise Fault(f"{path} is truncated or damaged ({error}): fetch it again") from None


def read_member(path: Path, name: str) -> bytes:
    """One file of a zip."""
    _refuse_truncated(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                raise Fault(f"{path} holds no {name}: it is another archive")
            return archive.read(name)
    except DAMAGED as error:
        raise Fault(f"{path} is truncated or damaged ({error}): fetch it again") from None


def _refuse_truncated(path: Path) -> None:
    """An archive says at its end what it holds: one that breaks off is not even recognised otherwise."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        start = file.read(4)
    if start == ZIP_START and not zipfile.is_zipfile(path):
        raise Fault(f"{path} is truncated: {path.stat().st_size:,} bytes of a zip without its table of contents")
    tar = path.name.endswith((".tar", ".tar.gz", ".tgz")) or start[:2] == GZIP_START
    if tar and start != ZIP_START:
        try:
            with tarfile.open(path) as archive:
                end = max((member.offset_data + member.size for member in tars.members(archive)), default=0)
            if start[:2] != GZIP_START and end > path.stat().st_size:
                raise EOFError("the last file breaks off")
        except DAMAGED as error:
            raise Fault(f"{path} is truncated or damaged ({error}): fetch it again") from None


def _refuse_escapes(names: list[str], path: Path) -> None:
    for name in names:
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts:
            raise Fault(f"{path} names a file outside of itself: {name}")

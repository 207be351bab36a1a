"""Archives of others, read and never unpacked: a truncated one is told in a sentence, a hostile name opens nothing."""

from __future__ import annotations

import contextlib
import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from sid.fault import Fault

DAMAGED = (EOFError, OSError, zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile)
ZIP_START, GZIP_START = b"PK\x03\x04", b"\x1f\x8b"


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files of a tar (compressed or not), in its order."""
    try:
        with tarfile.open(path) as archive:
            for member in whole_members(archive):
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
                end = max((member.offset_data + member.size for member in whole_members(archive)), default=0)
            if start[:2] != GZIP_START and end > path.stat().st_size:
                raise EOFError("the last file breaks off")
        except DAMAGED as error:
            raise Fault(f"{path} is truncated or damaged ({error}): fetch it again") from None


def _refuse_escapes(names: list[str], path: Path) -> None:
    for name in names:
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts:
            raise Fault(f"{path} names a file outside of itself: {name}")


BLOCK = tarfile.BLOCKSIZE


def whole_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Every member; then the blocks of zeros that close a tar must stand there, or the rest of it is missing."""
    yield from archive
    assert archive.fileobj is not None  # open
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError(f"it breaks off after {archive.offset:,} bytes, without the end of an archive")


NPZ_START = b"PK"
DAMAGED_ARRAYS = (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, SyntaxError)


def array_names(path: Path) -> list[str]:
    """Of an npz's arrays; a plain npy has none."""
    with _array_error(path), contextlib.closing(_opened_array(path)) as loaded:
        return list(loaded.files)


def named_array(path: Path, name: str) -> np.ndarray:
    """One array of an npz."""
    with _array_error(path), contextlib.closing(_opened_array(path)) as loaded:
        found: np.ndarray = loaded[name]
        return found


def single_array(path: Path) -> np.ndarray:
    """The array of an npy."""
    with _array_error(path):
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found


def is_npz(path: Path) -> bool:
    """By its first bytes, whatever it is called."""
    with open(path, "rb") as file:
        return file.read(len(NPZ_START)) == NPZ_START


def _opened_array(path: Path) -> np.lib.npyio.NpzFile:
    if not is_npz(path):
        raise ValueError("not a zip of arrays")
    return np.load(path, allow_pickle=False)


@contextlib.contextmanager
def _array_error(path: Path) -> Iterator[None]:
    """numpy's own words for a file it can't read are advice to load it unsafely."""
    try:
        yield
    except PermissionError:
        raise
    except DAMAGED_ARRAYS as error:
        held = str(error).startswith("Object arrays")
        why = "it holds Python objects, which are never loaded" if held else "it is damaged, or no file of arrays"
        raise Fault(f"{path} can't be read: {why}") from error

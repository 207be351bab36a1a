"""Archives and arrays that others made: tar, zip, npy and npz, read without unpacking.

A truncated or damaged file is refused with a message that names it. Nothing is written to disk and no pickled object is
loaded. `benchmarks.images.reading` opens images with it, the data sets read their other files with it.
"""

from __future__ import annotations

import contextlib
import lzma
import math
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from sid.fault import Fault

# What the readers raise for a damaged file.
# fmt: off
ARCHIVE_ERRORS = (
    EOFError, OSError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, OverflowError,
    RuntimeError, struct.error,
)
# fmt: on
# fmt: off
ARRAY_ERRORS = (
    EOFError, OSError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, RuntimeError, SyntaxError, TypeError,
    MemoryError, OverflowError, RecursionError, struct.error,
)
# fmt: on
ZIP_MAGIC, GZIP_MAGIC = b"PK\x03\x04", b"\x1f\x8b"
NPZ_MAGIC = b"PK"
MOST_UNPACKED = 4 * 2**30  # bytes of a compressed array
MOST_LINKS = 16  # that are followed to one file of a tar


def tar_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files of a tar (compressed or not), in its order."""
    try:
        with tarfile.open(path) as archive:
            for member in complete_members(archive):
                if member.isfile():
                    refuse_outside_names([member.name], path)
                    content = archive.extractfile(member)
                    assert content is not None  # a plain file has content
                    yield member.name, content.read()
    except ARCHIVE_ERRORS as error:
        raise _damaged(path, error) from None


def complete_members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Every member of a tar; then the block of zeros that ends a tar must follow, or the file is truncated."""
    yield from archive
    assert archive.fileobj is not None  # open
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"it breaks off after {archive.offset:,} bytes, without the end of an archive")


def linked_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> tarfile.TarInfo:
    """The file that a member is, or that it links to inside the same archive; a Fault if it is neither.

    Args:
        archive: is open.
        member: of it.
        path: of the archive, for the Fault.
    """
    followed = member
    for _ in range(MOST_LINKS):
        if followed.isfile():
            return followed
        if not (followed.islnk() or followed.issym()):
            raise Fault(f"{path}: {member.name} is no file (a device or a pipe)")
        target = followed.linkname
        if followed.issym():  # relative to its own folder; a hard link names the archive's own path
            target = posixpath.normpath(posixpath.join(posixpath.dirname(followed.name), target))
        try:
            followed = archive.getmember(target)
        except KeyError:
            raise Fault(f"{path}: {member.name} is a link to {target}, which the archive does not hold") from None
    raise Fault(f"{path}: {member.name} is a link that leads back to itself")


def read_zip_member(path: Path, name: str) -> bytes:
    """One file of a zip."""
    refuse_truncated(path)
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                raise Fault(f"{path} holds no {name}: it is another archive")
            return archive.read(name)
    except ARCHIVE_ERRORS as error:
        raise _damaged(path, error) from None


def refuse_truncated(path: Path) -> None:
    """Refuses a truncated zip or tar. A zip's index is at its end: without it, the file is not even taken for a zip."""
    if not path.is_file():
        return
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic == ZIP_MAGIC and not zipfile.is_zipfile(path):
        raise Fault(f"{path} is truncated: {path.stat().st_size:,} bytes of a zip without its table of contents")
    gzipped = magic[:2] == GZIP_MAGIC
    if magic != ZIP_MAGIC and (gzipped or path.name.endswith((".tar", ".tar.gz", ".tgz"))):
        try:
            with tarfile.open(path) as archive:
                end = max((member.offset_data + member.size for member in complete_members(archive)), default=0)
            if not gzipped and end > path.stat().st_size:
                raise EOFError("the last file breaks off")
        except ARCHIVE_ERRORS as error:
            raise _damaged(path, error) from None


def refuse_outside_names(names: list[str], path: Path) -> None:
    """Refuses an archive with absolute names or `..`: unpacked by another tool, they would overwrite foreign files."""
    for name in names:
        inner = PurePosixPath(name.replace("\\", "/"))
        if inner.is_absolute() or ".." in inner.parts:
            raise Fault(f"{path} names a file outside of itself: {name}")


def _damaged(path: Path, error: BaseException) -> Fault:
    return Fault(f"{path} is truncated or damaged ({error}): fetch it again")


def read_npy(path: Path) -> np.ndarray:
    """The array of an npy file."""
    with _array_faults(path):
        with open(path, "rb") as file:
            _refuse_false_header(file, path.stat().st_size)
        array: np.ndarray = np.load(path, allow_pickle=False)
        return array


def read_npz(path: Path, name: str) -> np.ndarray:
    """One array of an npz file."""
    with _array_faults(path):
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
            if member.compress_type != zipfile.ZIP_STORED and member.file_size > MOST_UNPACKED:
                raise Fault(f"{path} unpacks to more than {MOST_UNPACKED >> 30} GiB: store it without compression")
            with archive.open(member) as file:
                _refuse_false_header(file, member.file_size)
        with contextlib.closing(_open_npz(path)) as arrays:
            array: np.ndarray = arrays[name]
            return array


def _refuse_false_header(file: IO[bytes], size: int) -> None:
    """A ValueError unless the header of an array declares exactly the bytes that follow it: numpy allocates by it."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError("an unknown version of the format")
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError("a shape that is none")
    if math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError("another size than the header declares")


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an npz file."""
    with _array_faults(path), contextlib.closing(_open_npz(path)) as arrays:
        return list(arrays.files)


def is_npz(path: Path) -> bool:
    """By its first bytes, whatever the file is called."""
    with open(path, "rb") as file:
        return file.read(len(NPZ_MAGIC)) == NPZ_MAGIC


def _open_npz(path: Path) -> np.lib.npyio.NpzFile:
    if not is_npz(path):
        raise ValueError("not a zip of arrays")
    return np.load(path, allow_pickle=False)


@contextlib.contextmanager
def _array_faults(path: Path) -> Iterator[None]:
    """Turns numpy's errors into faults: numpy's own message advises to load the file unsafely."""
    try:
        yield
    except PermissionError:
        raise
    except ARRAY_ERRORS as error:
        pickled = str(error).startswith("Object arrays")
        why = "it holds Python objects, which are never loaded" if pickled else "it is damaged, or no file of arrays"
        raise Fault(f"{path} can't be read: {why}") from error

"""Tar archives that are whole: tarfile takes one that breaks off between two files for one that has ended."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

BLOCK = tarfile.BLOCKSIZE


def members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Every member; then the blocks of zeros that close a tar must stand there, or the rest of it is missing."""
    yield from archive
    assert archive.fileobj is not None  # open
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(BLOCK) != bytes(BLOCK):
        raise tarfile.ReadError(f"it breaks off after {archive.offset:,} bytes, without the end of an archive")

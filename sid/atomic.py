"""Atomic writes: into a temporary file or folder beside the final one, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sid.fault import Fault

FULL = 2**20  # bytes: with fewer free a disk counts as full


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` in one step: a reader sees the old file or the new one."""
    with file(path) as handle:
        handle.write(data)


@contextlib.contextmanager
def file(path: Path) -> Iterator[IO[bytes]]:
    """An open file that replaces `path` when the body has ended well; for what is too large to be in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """As write_bytes, for text in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """As write_bytes, for JSON with sorted keys: equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def folder(path: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all; an older one of the same name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for path_inside in beside.rglob("*"):
            if path_inside.is_file():
                with open(path_inside, "rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            os.replace(path, old)
            os.replace(beside, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def seal(beside: Path, final: Path, checksums: dict[str, str]) -> None:
    """Renames the written folder `beside` to `final`, after its checksums are written and all files are flushed."""
    (beside / "checksums.json").write_text(json.dumps(checksums, indent=1, sort_keys=True))
    for file in beside.rglob("*"):
        if file.is_file():
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
    os.replace(beside, final)


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Turns an OSError while writing below `folder` (a full disk, a read-only folder) into a Fault."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error) from None


def unwritable(folder: Path, error: BaseException) -> Fault:
    """The Fault for a folder that can't be written. It says that what was saved before is whole."""
    if isinstance(error, OSError) and error.strerror:
        why = error.strerror
    elif _full(folder):  # torch's writer drops the reason
        why = os.strerror(errno.ENOSPC)
    else:
        why = str(error).partition("\n")[0]
    return Fault(f"{folder} can't be written ({why}); what was saved before is whole, the same command goes on from it")


def _full(folder: Path) -> bool:
    """Whether the folder's disk has less than FULL bytes free."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    return shutil.disk_usage(existing).free < FULL

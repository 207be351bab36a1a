"""The files under a folder, links followed: every room that reads a folder of images sees the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sid.fault import Fault


def files_under(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Each file and each broken link as (path inside the folder, its entry), folders in the order of their names.

    Linked folders are read like others. One that contains itself is refused.
    """
    yield from _below(str(folder), "", (os.path.realpath(folder),))


def _below(folder: str, before: str, above: tuple[str, ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        name = before + entry.name
        if not entry.is_dir():
            yield name, entry
            continue
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
        if real in above:
            raise Fault(f"{entry.path} is a link to a folder that contains it: its images would be read for ever")
        yield from _below(entry.path, f"{name}/", (*above, real))

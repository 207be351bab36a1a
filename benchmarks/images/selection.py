"""Which files of a folder or archive are its images, and what becomes of the others: nothing is dropped in silence.

A file counts by its ending. Others are passed over and counted; an image of a kind that is not read, a name that stands
twice and a link that leads nowhere are refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sid.fault import Fault

COMMON = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")  # that every tool reads
# fmt: off
EXTENSIONS = (
    *COMMON, ".jfif", ".jpe", ".apng", ".avif", ".avifs", ".dib", ".pbm", ".pnm", ".tga", ".qoi",
    ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx",
)
# Images that are not read: several pictures in one, floats, other depths, or a program that draws them.
UNREAD = (
    ".heic", ".heif", ".jxl", ".ico", ".icns", ".cur", ".psd", ".eps", ".svg", ".emf", ".wmf", ".dds", ".exr", ".hdr",
    ".pfm", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".dcx", ".ras", ".fits", ".fit", ".fli", ".flc", ".xbm", ".xpm",
    ".im", ".msp", ".pcd", ".pxr", ".blp", ".dng", ".cr2", ".nef", ".arw", ".raf",
)
# fmt: on
FORKS = "__MACOSX/"  # macOS adds resource forks to archives, under the images' own names
SHOWN = 3


@dataclass
class Chosen:
    """The names of the images, and how many files beside them were passed over, by reason."""

    names: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    @property
    def sentence(self) -> str:
        """What was found; empty if every file is an image."""
        passed = sum(self.passed_over.values())
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.passed_over.items()))
        files, images = len(self.names) + passed, len(self.names)
        return f"{files:,} files, {images:,} images, {passed:,} passed over ({reasons})" if passed else ""


def select(names: Iterable[str], source: str) -> Chosen:
    """The images among the names of a folder or archive; one Fault has every reason to refuse it.

    Args:
        names: of all its files, links included.
        source: its path, for the Fault.
    """
    selection, seen, twice, unread = Chosen(), set[str](), [], []
    for name in names:
        ending = ending_of(name)
        if name.startswith(FORKS):
            selection.passed_over["resource forks of macOS"] += 1
        elif ending in UNREAD:
            unread.append(name)
        elif ending not in EXTENSIONS:
            selection.passed_over[ending or "without an ending"] += 1
        elif name in seen:
            twice.append(name)
        else:
            seen.add(name)
            selection.names.append(name)
    faults = []
    if twice:
        faults.append(f"{source} holds {some(twice)} twice: which image counts is not known")
    if unread:
        faults.append(f"{source} holds {some(unread)}, of a kind that is not read: convert or remove what is no image")
    if faults:
        raise Fault(faults)
    return selection


def some(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def ending_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def image_name(name: str) -> bool:
    """Whether it names an image, by its ending."""
    return ending_of(name) in EXTENSIONS and not name.startswith(FORKS)

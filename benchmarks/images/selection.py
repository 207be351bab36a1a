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

# fmt: off
EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
    ".jfif", ".jpe", ".apng", ".avif", ".avifs", ".dib", ".pbm", ".pnm", ".tga", ".qoi",
    ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx",
)
# Images that are not read: several pictures in one, floats, other depths, or a program that draws them.
UNREAD = (
    ".heic", ".heif", ".jxl", ".ico", ".icns", ".cur", ".psd", ".eps", ".svg", ".emf", ".wmf", ".dds", ".exr", ".hdr",
    ".pfm", ".sgi", ".rgb", ".rgba", ".bw", ".pcx", ".dcx", ".ras", ".fits", ".fit", ".fli", ".flc", ".xbm", ".xpm",
    ".im", ".msp", ".pcd", ".pxr", ".blp", ".dng", ".cr2", ".nef", ".arw", ".raf",
)
# fmt: on
# Folders of copies and resource forks that other programs leave among images, under the images' own names.
BYSTANDERS = ("__MACOSX", ".ipynb_checkpoints")
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
        if bystander := bystander_of(name):
            selection.passed_over[f"in {bystander}"] += 1
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
    return f"{', '.join(map(printable, names[:SHOWN]))}{more}"


def ending_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def image_name(name: str) -> bool:
    """Whether it names an image, by its ending."""
    return ending_of(name) in EXTENSIONS and not bystander_of(name)


def bystander_of(name: str) -> str:
    """The bystanders' folder that a path lies in; empty if there is none."""
    return next((part for part in name.split("/")[:-1] if part in BYSTANDERS), "")


def printable(name: str) -> str:
    """A name for messages: control characters, which a terminal would obey, are escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)

"""The image files below a folder: links are followed; loops and what other programs leave are passed over, counted."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
BYSTANDERS = ("__MACOSX", ".ipynb_checkpoints")  # copies and resource forks that other programs leave among images


def image_files(root: Path) -> tuple[list[Path], Counter[str]]:
    """Files named as images, by the paths that lead to them, and what was passed over.

    A link to a folder is followed after all real folders, and once: neither a loop nor a second name of a folder counts
    an image twice.
    """
    files: list[Path] = []
    passed_over = Counter[str]()
    entered, above = set[Path](), set(root.resolve().parents)
    waiting = [root]
    while waiting:
        start = waiting.pop(0)
        if start.resolve() in entered | above:
            passed_over["links to folders that are read already"] += 1
            continue
        for folder, folders, names in os.walk(start):
            here = Path(folder)
            if here.resolve() in entered:
                folders.clear()
                continue
            entered.add(here.resolve())
            for bystander in set(folders) & set(BYSTANDERS):
                passed_over[f"images in {bystander}"] += _count(here / bystander)
            waiting += [here / name for name in sorted(folders) if (here / name).is_symlink()]
            folders[:] = sorted(name for name in folders if name not in BYSTANDERS)
            files += [here / name for name in names if named_as_image(name)]
    return files, +passed_over


def named_as_image(name: str) -> bool:
    """By its extension, in any case."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def bystander_of(name: str) -> str:
    """The bystanders' folder that a path of an archive lies in; empty if there is none."""
    return next((part for part in name.split("/")[:-1] if part in BYSTANDERS), "")


def printable(name: str) -> str:
    """A name for messages: control characters, which a terminal would obey, are escaped."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in name)


def _count(folder: Path) -> int:
    return sum(named_as_image(name) for _, _, names in os.walk(folder) for name in names)

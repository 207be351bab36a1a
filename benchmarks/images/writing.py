"""Writes images losslessly, with their seed and sample indices; an interrupted write leaves nothing behind."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sid import atomic
from sid.fault import Fault

DESCRIPTION = "images.json"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal images give equal bytes


def write(out: Path, images: np.ndarray, facts: Mapping[str, Any]) -> None:
    """As `write_portions`, for images that are in memory."""
    write_portions(out, [images], len(images), facts)


def write_portions(out: Path, portions: Iterable[np.ndarray], count: int, facts: Mapping[str, Any]) -> None:
    """Writes images to NAME.npz, to NAME.zip of PNG files, or to a folder of PNG files; one portion is in memory.

    Args:
        out: the path; its suffix decides the form.
        portions: uint8 [N, C, H, W] each.
        count: of all images.
        facts: written into images.json beside PNG files; `first` is the sample index of the first image.
    """
    refuse_form(out)
    if out.suffix == ".npz":
        with atomic.file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            _write_array(archive, portions, count)
    elif out.suffix == ".zip":
        with atomic.file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in _files(portions, facts):
                archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
    else:
        with atomic.folder(out) as temporary:
            for name, content in _files(portions, facts):
                (temporary / name).write_bytes(content)


def refuse_form(out: Path) -> None:
    """A Fault where images can't be written to this path."""
    if out.suffix not in ("", ".npz", ".zip"):
        raise Fault(f"{out}: images go into NAME.zip, NAME.npz or a folder, not into a '{out.suffix}' file")
    if not out.suffix and out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTION).exists():
        raise Fault(f"{out} holds files that are no samples of ours; choose another folder")


def _write_array(archive: zipfile.ZipFile, portions: Iterable[np.ndarray], count: int) -> None:
    """The array `images` of an npz, portion by portion."""
    entry = zipfile.ZipInfo("images.npy", ZIP_TIME)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        for number, images in enumerate(portions):
            if not number:
                header = {"descr": images.dtype.str, "fortran_order": False, "shape": (count, *images.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(images).tobytes())


def through_jpeg(images: np.ndarray, quality: int = 75) -> np.ndarray:
    """uint8 images after PIL's JPEG compression: some protocols score the files on disk."""
    compressed = []
    for image in images:
        buffer = io.BytesIO()
        _picture(image).save(buffer, "jpeg", quality=quality)
        pixels = np.asarray(Image.open(buffer))
        compressed.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
    return np.stack(compressed)


def _picture(image: np.ndarray) -> Image.Image:
    """[C, H, W] as a PIL image."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def _files(portions: Iterable[np.ndarray], facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """PNG files named by sample index, and images.json."""
    first = number = int(facts.get("first", 0))
    for image in itertools.chain.from_iterable(portions):
        buffer = io.BytesIO()
        _picture(image).save(buffer, "png")
        yield f"{number:08d}.png", buffer.getvalue()
        number += 1
    yield DESCRIPTION, (json.dumps({**facts, "count": number - first}, indent=1, sort_keys=True) + "\n").encode()

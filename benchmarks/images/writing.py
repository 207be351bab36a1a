"""Writes images losslessly, with their seed and sample indices; an interrupted write leaves nothing behind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sid import atomic
from sid.fault import Fault

DESCRIPTION = "images.json"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal images give equal bytes


def write(out: Path, images: np.ndarray, facts: Mapping[str, Any]) -> None:
    """Writes images to NAME.npz, to NAME.zip of PNG files, or to a folder of PNG files.

    Args:
        out: the path; its suffix decides the form.
        images: uint8 [N, C, H, W].
        facts: written into images.json beside PNG files; `first` is the sample index of the first image.
    """
    if out.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images)
        atomic.write_bytes(out, buffer.getvalue())
    elif out.suffix == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name, content in _files(images, facts):
                archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
        atomic.write_bytes(out, buffer.getvalue())
    elif out.suffix:
        raise Fault(f"{out}: images go into NAME.zip, NAME.npz or a folder, not into a '{out.suffix}' file")
    elif out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTION).exists():
        raise Fault(f"{out} holds files that are no samples of ours; choose another folder")
    else:
        with atomic.folder(out) as temporary:
            for name, content in _files(images, facts):
                (temporary / name).write_bytes(content)


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


def _files(images: np.ndarray, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """PNG files named by sample index, and images.json."""
    first = int(facts.get("first", 0))
    for number, image in enumerate(images):
        buffer = io.BytesIO()
        _picture(image).save(buffer, "png")
        yield f"{first + number:08d}.png", buffer.getvalue()
    yield DESCRIPTION, (json.dumps({**facts, "count": len(images)}, indent=1, sort_keys=True) + "\n").encode()

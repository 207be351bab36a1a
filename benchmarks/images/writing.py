"""Images out: lossless, with their seed and sample indices, whole or not at all."""

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

WHEN = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: equal images are equal bytes


def write(out: Path, images: np.ndarray, facts: Mapping[str, Any]) -> None:
    """uint8 images [N, C, H, W] as NAME.npz, NAME.zip of PNG files, or a folder of them, with the facts beside them."""
    if out.suffix == ".npz":
        held = io.BytesIO()
        np.savez_compressed(held, images=images)
        atomic.write_bytes(out, held.getvalue())
    elif out.suffix == ".zip":
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
            for name, content in _files(images, facts):
                archive.writestr(zipfile.ZipInfo(name, WHEN), content)
        atomic.write_bytes(out, held.getvalue())
    elif out.suffix:
        raise Fault(f"{out}: images go into NAME.zip, NAME.npz or a folder, not into a '{out.suffix}' file")
    elif out.is_dir() and any(out.iterdir()) and not (out / "images.json").exists():
        raise Fault(f"{out} holds files that are no samples of ours; choose another folder")
    else:
        with atomic.folder(out) as beside:
            for name, content in _files(images, facts):
                (beside / name).write_bytes(content)


def through_jpeg(images: np.ndarray, quality: int = 75) -> np.ndarray:
    """uint8 images as a JPEG file of PIL's gives them back: some protocols score what lies on the disk."""
    passed = []
    for image in images:
        held = io.BytesIO()
        _picture(image).save(held, "jpeg", quality=quality)
        pixels = np.asarray(Image.open(held))
        passed.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
    return np.stack(passed)


def _picture(image: np.ndarray) -> Image.Image:
    """[C, H, W] as PIL holds it."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def _files(images: np.ndarray, facts: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """PNG files named by sample index, and images.json."""
    first = int(facts.get("first", 0))
    for number, image in enumerate(images):
        held = io.BytesIO()
        _picture(image).save(held, "png")
        yield f"{first + number:08d}.png", held.getvalue()
    yield "images.json", (json.dumps({**facts, "count": len(images)}, indent=1, sort_keys=True) + "\n").encode()

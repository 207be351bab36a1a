"""The first samples of every entry, from the same noise and never selected: one column of images per entry."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.tables.layout import TableTask
from benchmarks.tables.rows import Row

if TYPE_CHECKING:
    import numpy as np

SHOWN = 8  # the first so many sample indices
LARGEST = 128  # pixels of a thumbnail's side; smaller images are kept exactly
LOSSLESS = 64  # sides up to this many pixels are small enough to keep every bit


@dataclass(frozen=True)
class Strip:
    """One entry's first samples, by sample index."""

    label: str
    noise: bool  # whether made from the noise that all entries share; held-out images are not
    seed: int
    images: tuple[str, ...]  # data URIs
    captions: tuple[str, ...] = ()  # the images' prompts
    photo: bool = False  # too large for the page to show every pixel


def strips(task: TableTask, rows: Sequence[Row]) -> list[Strip]:
    """One strip for each entry of a task that has samples of its first declared seed; held-out images last."""
    shown = []
    for row in rows:
        if row.task.name != task.name or row.column != task.columns[0] or not row.runs:
            continue
        run = row.runs[0]
        images = run.samples()
        if run.seed == next(iter(row.line.digests)) and images is not None:
            thumbnails = tuple(_uri(image) for image in images[:SHOWN])
            noise, photo = row.line.kind != "heldout", max(images.shape[2:]) > LOSSLESS
            shown.append(Strip(row.line.label, noise, run.seed, thumbnails, tuple(run.captions()[:SHOWN]), photo))
    return sorted(shown, key=lambda strip: not strip.noise)


def heads(strips: Sequence[Strip]) -> list[str]:
    """The rows' heads: the prompts if all strips of the same noise share them, else the samples' indices."""
    count = max(len(strip.images) for strip in strips)
    prompts = {strip.captions for strip in strips if strip.captions and strip.noise}
    captions = prompts.pop() if len(prompts) == 1 else ()
    return list(captions) if len(captions) == count else [str(index) for index in range(count)]


def _uri(image: np.ndarray) -> str:
    """One image [channels, height, width] as a data URI."""
    from PIL import Image

    channels, height, width = image.shape
    picture = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if max(height, width) <= LOSSLESS:
        form = "png"
        picture.save(buffer, format="PNG", optimize=True)
    else:
        form = "jpeg"
        picture.save(buffer, format="JPEG", quality=85)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode()}"

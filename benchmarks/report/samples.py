"""The first samples of every entry from the same noise: one column of images an entry, never chosen."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.tables.layout import Task
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
    noise: bool  # made from the noise that all others share; the held-out images are not
    seed: int
    images: tuple[str, ...]  # data URIs
    captions: tuple[str, ...] = ()  # what each was to show
    photo: bool = False  # too large to show every pixel


def strips(task: Task, rows: Sequence[Row]) -> list[Strip]:
    """One strip for each entry of a task that has samples; of its runs, the first declared seed's."""
    found = []
    for row in rows:
        if row.task.name != task.name or row.column != task.columns[0] or not row.runs:
            continue
        run = row.runs[0]
        images = run.samples()
        if run.seed == next(iter(row.line.digests)) and images is not None:
            shown = tuple(_uri(image) for image in images[:SHOWN])
            noise, photo = row.line.kind != "heldout", max(images.shape[2:]) > LOSSLESS
            found.append(Strip(row.line.label, noise, run.seed, shown, tuple(run.captions()[:SHOWN]), photo))
    return sorted(found, key=lambda strip: not strip.noise)


def heads(strips: Sequence[Strip]) -> list[str]:
    """The rows' heads: the prompt of all that share the noise, else the sample's index."""
    count = max(len(strip.images) for strip in strips)
    said = {strip.captions for strip in strips if strip.captions and strip.noise}
    captions = said.pop() if len(said) == 1 else ()
    return list(captions) if len(captions) == count else [str(index) for index in range(count)]


def _uri(image: np.ndarray) -> str:
    """One image [channels, height, width] inside the page."""
    from PIL import Image

    channels, height, width = image.shape
    picture = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    held = io.BytesIO()
    if max(height, width) <= LOSSLESS:
        form = "png"
        picture.save(held, format="PNG", optimize=True)
    else:
        form = "jpeg"
        picture.save(held, format="JPEG", quality=85)
    return f"data:image/{form};base64,{base64.b64encode(held.getvalue()).decode()}"

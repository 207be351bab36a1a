"""The miniature's text-to-image world: one coloured shape on a plain ground, 16x16 pixels, with its caption.

Captions are "<size> <colour> <shape> <place> on <ground>". One combination in eight is never trained on: it is the
split `novel`. As on the web, some captions are wrong: one training image in ten has another's, so that a model of them
needs guidance, as those of real captions do. Images are drawn by rule from (split, index): nothing is stored or
downloaded.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.data.base import Dataset

if TYPE_CHECKING:
    import numpy as np

SIZES = {"small": 3.4, "large": 5.4}  # half of the extent, in pixels
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 215, 50),
    "purple": (160, 60, 200),
    "cyan": (50, 205, 215),
}
SHAPES = ("circle", "square", "triangle", "cross")
PLACES = {"left": -2.0, "right": 2.0}  # of the middle, in pixels
GROUNDS = {"black": (15, 15, 15), "grey": (120, 120, 120), "white": (240, 240, 240)}
SIDE, FINE = 16, 4  # pixels, and samples per pixel along each axis
JITTER = 0.6  # pixels that the middle moves by at most
PER_CAPTION = {"train": 16, "heldout": 8, "novel": 16, "world": 16}
SEEDS = {"train": 1, "heldout": 2, "novel": 3, "world": 4}
NOVEL = 8  # one combination in 8 is never trained on
WRONG = 0.1  # share of the training images that have another image's caption


class Shapes(Dataset):
    name = "shapes"
    version = 2
    paper = "drawn by rule; made for this project"
    verified = "weights"
    shape = (3, SIDE, SIDE)
    captioned = True
    splits = ("train", "heldout", "novel", "world")
    vocabulary = (*SIZES, *COLOURS, *SHAPES, *PLACES, "on", *GROUNDS)

    def images(self, split: str) -> np.ndarray:
        return _drawn(split)

    def captions(self, split: str) -> list[str]:
        """Each caption once per image; the split `world` has all combinations, `heldout` those of `train`."""
        captions = [caption for caption in _captions(split) for _ in range(PER_CAPTION[split])]
        return _partly_wrong(captions) if split == "train" else captions


@lru_cache
def _captions(split: str) -> tuple[str, ...]:
    """The combinations of a split, in a fixed shuffled order: the first n hold every attribute equally often."""
    import numpy as np

    every = [
        f"{size} {colour} {shape} {place} on {ground}"
        for size, colour, shape, place, ground in itertools.product(SIZES, COLOURS, SHAPES, PLACES, GROUNDS)
    ]
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(every))
    novel = {every[place] for place in order[: len(every) // NOVEL]}
    chosen = {"novel": novel, "world": set(every)}.get(split, set(every) - novel)
    return tuple(every[place] for place in order if every[place] in chosen)


def _partly_wrong(captions: list[str]) -> list[str]:
    """Captions of which the share `WRONG` is drawn anew from all; a few of these are right by chance."""
    import numpy as np

    random = np.random.Generator(np.random.Philox(key=5))
    wrong = random.uniform(size=len(captions)) < WRONG
    others = random.integers(len(captions), size=len(captions))
    return [
        captions[other] if is_wrong else caption
        for caption, is_wrong, other in zip(captions, wrong, others, strict=True)
    ]


@lru_cache
def _drawn(split: str) -> np.ndarray:
    """uint8 [N, 3, 16, 16]: each caption's shape with its middle, extent and colour moved a little."""
    import numpy as np

    random = np.random.Generator(np.random.Philox(key=SEEDS[split]))
    captions = [caption for caption in _captions(split) for _ in range(PER_CAPTION[split])]
    move = random.uniform(-JITTER, JITTER, (len(captions), 2))
    scale = random.uniform(0.94, 1.06, len(captions))
    shade = random.uniform(-10, 10, (len(captions), 3))
    words = np.array([caption.split() for caption in captions])
    pictures = np.empty((len(captions), 3, SIDE, SIDE), np.uint8)
    for shape in SHAPES:
        for rows in np.array_split(np.flatnonzero(words[:, 2] == shape), 16):  # few at a time: 64 x 64 samples each
            middle = np.array([PLACES[place] for place in words[rows, 3]]) + move[rows, 0]
            half = np.array([SIZES[size] for size in words[rows, 0]]) * scale[rows]
            cover = _cover(shape, middle, move[rows, 1], half)[:, None]
            front = np.array([COLOURS[colour] for colour in words[rows, 1]]) + shade[rows]
            back = np.array([GROUNDS[ground] for ground in words[rows, 5]], float)[:, :, None, None]
            picture = back + (front[:, :, None, None] - back) * cover
            pictures[rows] = np.clip(np.round(picture), 0, 255)
    return pictures


def _cover(shape: str, middle: np.ndarray, height: np.ndarray, half: np.ndarray) -> np.ndarray:
    """The share of every pixel that the shape covers, [B, 16, 16]; all four have an extent of 2 `half`."""
    import numpy as np

    fine = (np.arange(SIDE * FINE, dtype=np.float32) + 0.5) / FINE - SIDE / 2
    across = (fine[None, None, :] - middle[:, None, None]).astype(np.float32)
    down = (fine[None, :, None] - height[:, None, None]).astype(np.float32)
    inside = _inside(shape, across, down, half[:, None, None])
    return inside.reshape(-1, SIDE, FINE, SIDE, FINE).mean(axis=(2, 4))


def _inside(shape: str, across: np.ndarray, down: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Which fine samples the shape covers."""
    if shape == "circle":
        return across**2 + down**2 <= half**2
    if shape == "square":
        return (abs(across) <= 0.88 * half) & (abs(down) <= 0.88 * half)
    if shape == "triangle":
        return (abs(across) <= (down + half) / 2) & (abs(down) <= half)
    arm = 0.36 * half
    return ((abs(across) <= arm) & (abs(down) <= half)) | ((abs(down) <= arm) & (abs(across) <= half))

"""The 8x8 digits that ship with scikit-learn (Alpaydin & Kaynak 1998, CC BY 4.0): 1,198 for training, 599 held out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np

SPLIT_SEED = 0  # of the permutation that is the fixed split


class Digits(Dataset):
    name = "digits"
    version = 1
    paper = "Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI 1998"
    verified = "weights"
    shape = (1, 8, 8)
    classes = 10

    def images(self, split: str) -> np.ndarray:
        return _split(split)[0]

    def labels(self, split: str) -> np.ndarray:
        return _split(split)[1]


@lru_cache
def _split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images and labels of a split. The originals have 17 grey levels, 0 to 16."""
    import numpy as np
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.Generator(np.random.Philox(key=SPLIT_SEED)).permutation(len(found.images))
    chosen = order[:1198] if split == "train" else order[1198:]
    images = np.round(found.images[chosen] * (255 / 16)).astype(np.uint8)[:, None]
    return images, found.target[chosen].astype(np.int64)

"""The 8x8 digits that ship with scikit-learn (Alpaydin & Kaynak 1998, CC BY 4.0): 1,198 for training, 599 held out."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data.base import Dataset

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

    table = _table()
    order = np.random.Generator(np.random.Philox(key=SPLIT_SEED)).permutation(len(table))
    chosen = table[order[:1198] if split == "train" else order[1198:]]
    images = np.round(chosen[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    return images, chosen[:, -1].astype(np.int64)


def _table() -> np.ndarray:
    """64 grey levels and the digit in each row, from the file beside scikit-learn's loader.

    `sklearn.datasets.load_digits` reads the same file, but its import takes longer than scoring a run.
    """
    import gzip
    from importlib.util import find_spec

    import numpy as np

    from sid.fault import Fault

    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise Fault("the digits ship with scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise Fault(f"the digits were expected at {path}; this scikit-learn keeps them elsewhere")
    with gzip.open(path, "rt") as file:
        return np.loadtxt(file, delimiter=",")

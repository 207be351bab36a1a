"""R-precision: by blocks of rows it is what the whole matrix gives, and the matrix is never made."""

import numpy as np
import pytest

from benchmarks.metrics import r_precision
from benchmarks.suite.components import metrics

RNG = np.random.default_rng(0)
CAPTIONS = RNG.standard_normal((40, 16)).astype(np.float32)[RNG.integers(0, 40, 300)]  # most stand several times
IMAGES = (CAPTIONS + 1.5 * RNG.standard_normal(CAPTIONS.shape)).astype(np.float32)


def whole(images, captions):
    """The definition, in one matrix."""
    distinct, own = np.unique(captions.astype(np.float64), axis=0, return_inverse=True)
    sides = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (images.astype(np.float64), distinct)]
    return float(((sides[0] @ sides[1].T).argmax(axis=1) == own.ravel()).mean())


@pytest.mark.parametrize("rows", [1, 7, 128, 1000])
def test_blocks_of_rows_give_the_value_of_the_whole_matrix(monkeypatch, rows):
    monkeypatch.setattr(r_precision, "ROWS", rows)
    score = metrics()["r-precision"].compute({"c.image": IMAGES, "c.text": CAPTIONS})
    assert 0.1 < score.value < 0.9 and score.value == whole(IMAGES, CAPTIONS)
    assert score.details["candidates"] == len(np.unique(CAPTIONS, axis=0))


def test_the_matrix_of_all_pairs_is_never_held():
    import tracemalloc

    captions = RNG.standard_normal((6000, 4)).astype(np.float32)
    tracemalloc.start()
    metrics()["r-precision"].compute({"c.image": captions, "c.text": captions})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6000 * 6000 * 8 / 3

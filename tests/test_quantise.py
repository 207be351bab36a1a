"""Float to uint8: what the rules do to grey levels."""

import numpy as np
import pytest
import torch

from benchmarks.quantise import to_bytes

LEVELS = np.arange(256)


def test_round_gives_every_level_back():
    assert (to_bytes(LEVELS / 127.5 - 1) == LEVELS).all()
    assert (to_bytes(torch.from_numpy(LEVELS / 127.5 - 1)).numpy() == LEVELS).all()


def test_round_is_nearest_and_truncate_is_half_a_level_darker():
    values = np.random.default_rng(0).uniform(-1.1, 1.1, 200_000)
    nearest, lower = to_bytes(values, "round"), to_bytes(values, "truncate")
    exact = ((values + 1) * 127.5).clip(0, 255)
    assert np.abs(nearest - exact).max() <= 0.5 + 1e-9
    assert (lower - nearest).mean() == pytest.approx(-0.45, abs=0.01)
    assert ((nearest - lower) == 1).mean() == pytest.approx(0.45, abs=0.01)


def test_nothing_leaves_the_range():
    assert set(to_bytes(np.array([-9.0, 9.0]))) == {0.0, 255.0}

"""Float to uint8, and what a file does to it: the rules that a protocol may state."""

import numpy as np
import torch

from benchmarks.images.writing import through_jpeg
from benchmarks.run.samples import SampleSource
from benchmarks.suite.load import load_suite
from sid.condition import Unconditional
from sid.sampling import to_uint8

LEVELS = np.arange(256)


def test_round_gives_every_level_back():
    assert (to_uint8(torch.from_numpy(LEVELS / 127.5 - 1)).numpy() == LEVELS).all()


def test_round_is_nearest_and_truncate_is_half_a_level_darker():
    values = torch.from_numpy(np.random.default_rng(0).uniform(-1.1, 1.1, 200_000))
    nearest, lower = (to_uint8(values, rule).double() for rule in ("round", "truncate"))
    exact = ((values + 1) * 127.5).clip(0, 255)
    assert (nearest - exact).abs().max() <= 0.5 + 1e-4
    assert abs((lower - nearest).mean() + 0.45) < 0.01
    assert abs(((nearest - lower) == 1).double().mean() - 0.45) < 0.01


def test_nothing_leaves_the_range():
    assert set(to_uint8(torch.tensor([-9.0, 9.0])).tolist()) == {0, 255}


def test_a_jpeg_keeps_the_form_and_loses_the_detail():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (2, 3, 16, 16), np.uint8)
    passed = through_jpeg(noise)
    assert passed.shape == noise.shape and passed.dtype == np.uint8 and not (passed == noise).all()
    flat = np.full((1, 3, 16, 16), 100, np.uint8)
    assert np.abs(through_jpeg(flat).astype(int) - 100).max() <= 1
    assert through_jpeg(noise[:, :1]).shape == (2, 1, 16, 16)
    coarse = np.abs(through_jpeg(noise, 20).astype(int) - noise).mean()
    assert np.abs(passed.astype(int) - noise).mean() < coarse


def test_a_rows_own_rule_goes_before_the_protocols():
    protocol = load_suite("smoke").protocols["digits"]
    white = torch.full((1, 1, 1, 1), 0.999)  # 254.87 of 255 levels

    def levels(quantiser: str) -> int:
        source = SampleSource(lambda *_: white, Unconditional(), (1, 1, 1), 1, quantiser=quantiser)
        images, _ = next(source.portions(protocol, 0, range(1)))
        return int(images.item())

    assert (levels(""), levels("round"), levels("truncate")) == (255, 255, 254)

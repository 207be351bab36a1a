"""KID and CMMD: brute force, zero mean, published estimators."""

import numpy as np
import pytest

from benchmarks.metrics import mmd
from benchmarks.suite.components import metrics
from sid.fault import Fault

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((60, 8)), RNG.standard_normal((50, 8)) + 0.2


def brute_unbiased(x, y):
    kernel = lambda a, b: (a @ b / 8 + 1) ** 3  # noqa: E731
    same = lambda z: np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])  # noqa: E731
    return same(x) + same(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_kid_is_brute_force_whatever_the_blocks(monkeypatch):
    truth = brute_unbiased(X, Y)
    for rows in (2048, 16, 7):
        monkeypatch.setattr(mmd, "ROWS", rows)
        assert metrics()["kid"].compute({"a.b": X}, {"a.b": Y}).value == pytest.approx(truth, rel=1e-10)


def test_kid_has_mean_zero_for_equal_distributions():
    draws = np.random.default_rng(1)
    values = [mmd.cubic_mmd(draws.standard_normal((40, 6)), draws.standard_normal((40, 6))) for _ in range(400)]
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kid_subsets_are_never_shrunk_silently():
    kid = metrics()["kid"]
    with pytest.raises(Fault, match="subsets of 1000 can't be drawn from 50 images"):
        kid.compute({"a.b": X}, {"a.b": Y}, subsets=100)
    score = kid.compute({"a.b": X}, {"a.b": Y}, **kid.variants["clean-fid"])
    assert "shrunk from 1000 to 50" in score.warnings[0]
    thousand = kid.compute({"a.b": X}, {"a.b": Y}, scale=1000.0).value
    assert thousand == pytest.approx(1000 * kid.compute({"a.b": X}, {"a.b": Y}).value)


def test_cmmd_is_the_published_biased_estimate():
    x, y = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (X, Y))
    kernel = lambda a, b: np.exp(-((a[:, None] - b) ** 2).sum(-1) / 200)  # noqa: E731
    truth = 1000 * (kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())
    assert metrics()["cmmd"].compute({"c.image": X}, {"c.image": 7 * Y}).value == pytest.approx(truth, rel=1e-8)
    assert metrics()["cmmd"].compute({"c.image": X}, {"c.image": X}).value == pytest.approx(0, abs=1e-9)

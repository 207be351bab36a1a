"""Inception Score: the two ends of the scale, and the rules by which tools differ."""

import numpy as np
import pytest

from benchmarks.suite.components import metrics
from sid.fault import Fault


def score(logits, **options):
    return metrics()["inception-score"].compute({"a.logits": logits}, **options)


def test_one_hot_uniform_gives_the_number_of_classes_and_constant_gives_one():
    assert score(np.tile(np.eye(7) * 1e4, (10, 1)), splits=10).value == pytest.approx(7, rel=1e-12)
    assert score(np.zeros((50, 7))).value == pytest.approx(1, rel=1e-12)


def test_splits_shuffle_and_ddof_are_options():
    logits = np.random.default_rng(0).standard_normal((203, 12)) * 3
    plain, torchmetrics = score(logits), score(logits, shuffle=2020, ddof=1)
    fidelity = score(logits, shuffle=2020)
    assert score(logits, splits=1).value > plain.value  # fewer images a split, more bias downwards
    assert torchmetrics.details["std"] == pytest.approx(fidelity.details["std"] * np.sqrt(10 / 9))
    assert fidelity.value != plain.value
    with pytest.raises(Fault, match="can't be split into 10"):
        score(logits[:9])

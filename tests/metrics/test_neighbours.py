"""Precision, recall, density, coverage: brute force and the cases whose answer is known."""

import numpy as np
import pytest

from benchmarks.metrics import neighbours
from benchmarks.suite.components import metrics
from sid.fault import Fault


def four(images, reference, **options):
    names = ("precision", "recall", "density", "coverage")
    return {name: metrics()[name].compute({"a.b": images}, {"a.b": reference}, **options).value for name in names}


def brute(images, reference, k, strict):
    between = lambda a, b: np.sqrt(((a[:, None] - b) ** 2).sum(-1))  # noqa: E731
    radius = lambda a: np.sort(between(a, a), axis=1)[:, k]  # noqa: E731
    compare = np.less if strict else np.less_equal
    across = between(images, reference)
    inside = compare(across, radius(reference))
    return {
        "precision": inside.any(1).mean(),
        "recall": compare(across, radius(images)[:, None]).any(0).mean(),
        "density": inside.sum(1).mean() / k,
        "coverage": compare(across.min(0), radius(reference)).mean(),
    }


@pytest.mark.parametrize("strict", [False, True])
def test_streamed_is_brute_force(strict, monkeypatch):
    rng = np.random.default_rng(0)
    images, reference = rng.standard_normal((90, 6)) + 0.7, rng.standard_normal((110, 6))
    monkeypatch.setattr(neighbours, "ROWS", 32)
    assert four(images, reference, k=4, strict=strict) == pytest.approx(brute(images, reference, 4, strict))


def test_known_answers():
    rng = np.random.default_rng(1)
    here = rng.standard_normal((80, 5))
    far = here + 1000
    assert four(here, far) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
    same = four(here, here.copy(), k=3, strict=False)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    other = rng.standard_normal((70, 5)) * 2
    assert four(here, other, k=3)["precision"] == four(other, here, k=3)["recall"]


def test_equal_points_have_distance_zero_in_spite_of_rounding():
    point = np.full((20, 4), 1e4) + np.arange(4)
    assert four(point, point, k=3, strict=False)["precision"] == 1


def test_too_few_images_are_refused():
    with pytest.raises(Fault, match="k = 3 neighbours need more than 3"):
        four(np.eye(3), np.eye(3))
    with pytest.raises(Fault, match=r"k must be at least 1 \(got 0\)"):
        four(np.eye(5), np.eye(5), k=0)


def test_half_rounds_features_and_distances_to_float16():
    """By hand: float16 features, distances in double, rounded to float16; equal distances are inside."""
    rng = np.random.default_rng(3)
    images, reference = (rng.gamma(0.5, 0.8, (200, 64)) for _ in range(2))
    first, second = (part.astype(np.float16).astype(np.float64) for part in (images, reference))
    between = lambda a, b: np.sqrt(((a[:, None] - b) ** 2).sum(-1)).astype(np.float16)  # noqa: E731
    radius = lambda a: np.sort(between(a, a), axis=1)[:, 3]  # noqa: E731
    expected = {
        "precision": (between(first, second) <= radius(second)).any(1).mean(),
        "recall": (between(first, second) <= radius(first)[:, None]).any(0).mean(),
    }
    for name, value in expected.items():
        score = metrics()[name].compute({"a.b": images}, {"a.b": reference}, **metrics()[name].variants["sid-float16"])
        assert score.value == pytest.approx(value, abs=1e-9) and score.details["half"] is True
    plain = metrics()["precision"].compute({"a.b": images}, {"a.b": reference})
    assert "half" not in plain.details, "older records keep their words"

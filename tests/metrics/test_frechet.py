"""Frechet distance: closed forms, the three routes, and what it refuses."""

import numpy as np
import pytest

from benchmarks.metrics import frechet
from benchmarks.suite.components import metrics
from sid.fault import Fault


def covariance(rng, dimension):
    factor = rng.standard_normal((dimension, dimension))
    return factor @ factor.T / dimension + 0.1 * np.eye(dimension)


def test_closed_form_commuting():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    first, second, shift = rng.uniform(0.1, 3, 64), rng.uniform(0.1, 3, 64), rng.standard_normal(64)
    truth = np.sum(shift**2) + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2)
    moments_1 = frechet.Moments(shift, basis * first @ basis.T, 10**6)
    moments_2 = frechet.Moments(np.zeros(64), basis * second @ basis.T, 10**6)
    assert frechet.distance(moments_1, moments_2).value == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("count", [10**6, 10], ids=["cholesky", "eigen"])
def test_closed_form_non_commuting(count):
    """S2 = M S1 M with M symmetric positive definite: FD = |dm|^2 + tr (M - I) S1 (M - I)."""
    rng = np.random.default_rng(1)
    first, factor, shift = covariance(rng, 96), covariance(rng, 96), rng.standard_normal(96)
    truth = np.sum(shift**2) + np.trace((factor - np.eye(96)) @ first @ (factor - np.eye(96)))
    moments_1, moments_2 = (
        frechet.Moments(shift, first, count),
        frechet.Moments(np.zeros(96), factor @ first @ factor, count),
    )
    result = frechet.distance(moments_1, moments_2)
    assert result.route == ("cholesky" if count > 96 else "eigen")
    assert result.value == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(40, 40), (40, 400), (400, 40), (64, 65)])
def test_few_images_agree_with_the_gram_form(first, second):
    """Reference: singular values of the N x N product of centred features, never a covariance."""
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((first, 64)) @ covariance(rng, 64), rng.standard_normal((second, 64)) + 0.3
    centred = [part - part.mean(0) for part in (x, y)]
    scale = np.sqrt((first - 1) * (second - 1))
    traces = sum(np.sum(part**2) / (len(part) - 1) for part in centred)
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum() / scale
    truth = np.sum((x.mean(0) - y.mean(0)) ** 2) + traces - 2 * nuclear
    moments_1, moments_2 = frechet.moments(x), frechet.moments(y)
    assert frechet.distance(moments_1, moments_2).value == pytest.approx(truth, rel=1e-9)
    moments_1.features = moments_2.features = None  # statistics alone
    assert frechet.distance(moments_1, moments_2).value == pytest.approx(truth, rel=1e-6)


def test_singular_covariance_of_many_images_leaves_the_fast_path():
    rng = np.random.default_rng(3)
    flat = rng.standard_normal((500, 8)) @ rng.standard_normal((8, 32))
    full = rng.standard_normal((500, 32))
    moments_1, moments_2 = frechet.moments(flat), frechet.moments(full)
    there, back = frechet.distance(moments_1, moments_2), frechet.distance(moments_2, moments_1)
    assert {there.route, back.route} == {"eigen"}
    assert there.value == pytest.approx(back.value, rel=1e-9)


def test_equal_sets_are_rounding_error_of_either_sign():
    features = np.random.default_rng(4).standard_normal((300, 48))
    assert abs(frechet.distance(frechet.moments(features), frechet.moments(features.copy())).value) < 1e-9


def test_the_root_of_the_reference_is_kept():
    rng = np.random.default_rng(5)
    reference = frechet.moments(rng.standard_normal((300, 16)))
    frechet.distance(frechet.moments(rng.standard_normal((300, 16))), reference)
    root = reference.cholesky()
    frechet.distance(frechet.moments(rng.standard_normal((300, 16))), reference)
    assert root is not None and reference.cholesky() is root


@pytest.mark.parametrize("rank", [6, 3], ids=["full", "flat reference"])
def test_the_influence_of_an_image_is_the_derivative_by_its_weight(rank):
    """(FD((1 - e) P + e delta_x) - FD(P)) / e as e falls, for weighted means and covariances."""
    rng = np.random.default_rng(7)
    images = rng.standard_normal((60, 6)) @ covariance(rng, 6) + 0.5
    flat = rng.standard_normal((50, rank)) @ rng.standard_normal((rank, 6))
    reference = frechet.moments(flat, ddof=0)

    def distance(weights):
        mean = weights @ images
        centred = images - mean
        moments = frechet.Moments(mean, (centred * weights[:, None]).T @ centred, frechet.UNKNOWN_COUNT)
        return frechet.distance(moments, reference).value

    effect = frechet.influence(images, frechet.moments(images, ddof=0), reference)
    assert abs(effect.mean()) < 1e-12
    step, equal = 1e-5, np.full(60, 1 / 60)
    for index in range(0, 60, 13):
        towards = np.eye(60)[index] - equal
        slope = (distance(equal + step * towards) - distance(equal - step * towards)) / (2 * step)
        assert effect[index] == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_a_covariance_that_is_none_is_refused():
    bad = np.diag([1.0, 1.0, -0.5])
    with pytest.raises(Fault, match="not positive semi-definite"):
        frechet.distance(frechet.Moments(np.zeros(3), bad, 100), frechet.Moments(np.zeros(3), np.eye(3), 100))
    with pytest.raises(Fault, match="not positive semi-definite"):
        frechet.distance(frechet.Moments(np.zeros(3), np.eye(3), 100), frechet.Moments(np.zeros(3), bad, 100))


def test_the_component_says_what_a_reader_must_know():
    rng = np.random.default_rng(6)
    few, many = rng.standard_normal((10, 32)), rng.standard_normal((1000, 32))
    metric = metrics()["frechet"]
    score = metric.compute({"toy.features": few}, {"toy.features": many})
    assert "rank-deficient" in score.warnings[0] and score.details["route"] == "gram"
    assert metric.compute({"toy.features": many}, {"toy.features": many + 1}).value == pytest.approx(32, rel=1e-9)
    with pytest.raises(Fault, match="one feature array"):
        metric.compute({"toy.features": few})
    with pytest.raises(Fault, match="at least 2 images"):
        metric.compute({"toy.features": few[:1]}, {"toy.features": many})
    few[3, 2] = np.nan
    with pytest.raises(Fault, match="NaN or infinity for image 3"):
        metric.compute({"toy.features": few}, {"toy.features": many})

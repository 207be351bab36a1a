"""What a change of the images must do to a score, without any peer or closed form of the value."""

import numpy as np
import pytest

from benchmarks.metrics import frechet
from benchmarks.metrics.fid_infinity import line
from benchmarks.suite.components import metrics

DIMENSION = 24
RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, DIMENSION)) @ (np.eye(DIMENSION) + 0.2 * RNG.standard_normal((DIMENSION, DIMENSION)))
Y = RNG.standard_normal((280, DIMENSION)) + 0.3
ROTATION = np.linalg.qr(RNG.standard_normal((DIMENSION, DIMENSION)))[0]
DISTANCES = ("frechet", "kid", "precision", "recall", "density", "coverage")


def value(name, x, y, **options):
    return metrics()[name].compute({"a.b": x}, {"a.b": y}, **options).value


def fd(x, y, **options):
    return value("frechet", x, y, **options)


@pytest.mark.parametrize("name", DISTANCES)
def test_the_order_of_the_images_changes_nothing(name):
    assert value(name, RNG.permutation(X), RNG.permutation(Y)) == pytest.approx(value(name, X, Y), rel=1e-9)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_joint_rotation_changes_nothing(name):
    assert value(name, X @ ROTATION, Y @ ROTATION) == pytest.approx(value(name, X, Y), rel=1e-9)


@pytest.mark.parametrize("name", [name for name in DISTANCES if name != "kid"])
def test_a_joint_shift_changes_nothing(name):
    assert value(name, X + 3, Y + 3) == pytest.approx(value(name, X, Y), rel=1e-9)


def test_symmetry():
    assert fd(X, Y) == pytest.approx(fd(Y, X), rel=1e-9)
    assert value("kid", X, Y) == pytest.approx(value("kid", Y, X), rel=1e-9)


def test_a_joint_scale_multiplies_by_its_square():
    assert fd(2.5 * X, 2.5 * Y) == pytest.approx(2.5**2 * fd(X, Y), rel=1e-9)


def test_duplicating_the_set_shows_ddof():
    doubled = np.concatenate([X, X]), np.concatenate([Y, Y])
    assert fd(*doubled, ddof=0) == pytest.approx(fd(X, Y, ddof=0), rel=1e-9)
    # ddof 1: S(2N) = S(N) * 2 (N-1) / (2N-1) on either side, so equal N scale the covariance part by that factor.
    x, y = X[:280], Y
    factor = 2 * 279 / 559
    single = metrics()["frechet"].compute({"a.b": x}, {"a.b": y})
    predicted = single.details["mean_term"] + factor * single.details["covariance_term"]
    assert fd(np.concatenate([x, x]), np.concatenate([y, y])) == pytest.approx(predicted, rel=1e-9)


def test_ddof_zero_lowers_the_covariance_part_by_one_over_n():
    score = metrics()["frechet"].compute({"a.b": X[:280]}, {"a.b": Y})
    assert fd(X[:280], Y, ddof=0) == pytest.approx(score.value - score.details["covariance_term"] / 280, rel=1e-9)


def test_a_constant_feature_changes_nothing():
    wide = [np.concatenate([part, np.full((len(part), 1), 7.0)], axis=1) for part in (X, Y)]
    assert fd(*wide) == pytest.approx(fd(X, Y), rel=1e-9)


def test_triangle_inequality_of_the_root():
    third = RNG.standard_normal((300, DIMENSION)) * 2
    assert fd(X, third) ** 0.5 <= fd(X, Y) ** 0.5 + fd(Y, third) ** 0.5


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_the_size_of_a_block_changes_nothing(rows):
    blockwise, whole = frechet.moments(X, rows=rows), frechet.moments(X)
    assert np.abs(blockwise.covariance - whole.covariance).max() < 1e-12
    assert frechet.distance(blockwise, frechet.moments(Y)).value == pytest.approx(fd(X, Y), rel=1e-9)


@pytest.mark.parametrize("name", ["frechet", "kid"])
def test_more_noise_is_further_away(name):
    noise = RNG.standard_normal(Y.shape)
    values = [value(name, Y + level * noise, Y) for level in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


def closed_form_bias(count, repeats, dimension=16):
    """Mean FD_N against the population N(0, I) itself, whose true distance is 0."""
    truth = frechet.Moments(np.zeros(dimension), np.eye(dimension), frechet.UNKNOWN_COUNT)
    draws = np.random.default_rng(count)
    sets = [draws.standard_normal((count, dimension)) for _ in range(repeats)]
    return np.mean([frechet.distance(frechet.moments(part), truth).value for part in sets])


def test_the_bias_is_a_constant_over_n():
    """N times the bias is d + d (d + 1) / 4 + O(1/N) for N(0, I): |m|^2 gives d, tr (S^(1/2) - I)^2 gives the rest."""
    constant = 16 + 16 * 17 / 4
    for count in (400, 1600, 6400):
        assert count * closed_form_bias(count, 60) == pytest.approx(constant, rel=0.05)


def test_the_line_in_one_over_n_recovers_limit_and_constant():
    counts = np.array([300, 600, 1200, 2400])
    limit, slope = line(counts, [closed_form_bias(count, 60) for count in counts])
    assert slope == pytest.approx(16 + 16 * 17 / 4, rel=0.08)
    assert abs(limit) < 0.02 * closed_form_bias(300, 60)


def test_the_subsets_of_dgm_eval_begin_at_a_tenth():
    features = np.random.default_rng(0).standard_normal((600, 100))
    metric = metrics()["fid-infinity"]
    compute = lambda **options: metric.compute({"a.b": features}, {"a.b": features[::-1]}, **options).details  # noqa: E731
    assert compute(points=15)["sizes"][0] == 101, "the default keeps the covariance at full rank"
    theirs = compute(**metric.variants["dgm-eval"])["sizes"]
    assert theirs == np.linspace(min(5000, max(600 // 10, 2)), 600, 15).astype("int32").tolist()


def test_fid_infinity_takes_the_bias_away():
    """Images of the reference's own distribution: the truth is 0, and FD_N is 84/N above it."""
    truth = frechet.Moments(np.zeros(16), np.eye(16), frechet.UNKNOWN_COUNT)
    metric = metrics()["fid-infinity"]
    draws = np.random.default_rng(3)
    sets = [draws.standard_normal((1000, 16)) for _ in range(20)]
    scores = [metric.compute({"a.b": images}, {"a.b": truth}, bootstraps=50) for images in sets]
    assert abs(np.mean([score.value for score in scores])) < 0.2 * np.mean([score.details["fd_n"] for score in scores])
    assert scores[0].value == metric.compute({"a.b": sets[0]}, {"a.b": truth}).value  # seeded
    assert "few" in scores[0].warnings[0]


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_interval_of_fid_infinity_holds_the_truth_as_often_as_it_says(shift):
    """95 of 100; of 40 sets fewer than 33 is one chance in a thousand."""
    truth = frechet.Moments(np.full(6, shift), np.eye(6), frechet.UNKNOWN_COUNT)
    inside = 0
    for seed in range(40):
        images = np.random.default_rng(seed).standard_normal((600, 6))
        details = metrics()["fid-infinity"].compute({"a.b": images}, {"a.b": truth}, bootstraps=200).details
        inside += details["low"] <= 6 * shift**2 <= details["high"]
    assert inside >= 33

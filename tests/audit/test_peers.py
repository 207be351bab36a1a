"""Every peer's public functions on the same float64 features: equal to ours within 1e-6."""

import numpy as np
import pytest

from benchmarks.audit.peer import peers, sqrtm_as_before
from benchmarks.suite.components import metrics

RNG = np.random.default_rng(0)
MIXING = np.eye(32) + 0.3 * RNG.standard_normal((32, 32))
X, Y = RNG.standard_normal((300, 32)) @ MIXING + 0.2, RNG.standard_normal((320, 32)) @ MIXING
LOGITS = 3 * RNG.standard_normal((205, 40))


def pair(name, **options):
    return metrics()[name].compute({"a.b": X}, {"a.b": Y}, **options).value


@pytest.mark.parametrize("name", sorted(peers()))
def test_frechet_distance(name):
    calls = peers()[name].distances()
    assert calls
    for call in calls.values():
        with sqrtm_as_before():
            assert call.run(X, Y) == pytest.approx(pair("frechet"), rel=1e-6)


@pytest.mark.parametrize("name", ["clean-fid", "torch-fidelity", "torchmetrics"])
def test_kid_on_the_same_draws(name):
    ((label, call),) = peers()[name].kernels(100).items()
    ours = call.twin(X, Y) if call.twin else pair("kid", subsets=100, subset_size=100, **call.compatible)
    assert call.run(X, Y) == pytest.approx(ours, rel=1e-6), label


@pytest.mark.parametrize("name", ["torch-fidelity", "torchmetrics"])
def test_inception_score_on_the_same_draws(name):
    ((label, call),) = peers()[name].scores().items()
    metric = metrics()["inception-score"]
    ours = call.twin(LOGITS) if call.twin else metric.compute({"a.b": LOGITS}, **call.compatible).value
    assert call.run(LOGITS) == pytest.approx(ours, rel=1e-6), label


def test_precision_and_recall():
    (call,) = peers()["torch-fidelity"].neighbours().values()
    assert call.run(X, Y) == pytest.approx((pair("precision"), pair("recall")), rel=1e-6)


def test_stylegans_ddof_differs_by_the_covariance_part_over_n():
    same = Y[:300]
    one = metrics()["frechet"].compute({"a.b": X}, {"a.b": same})
    zero = metrics()["frechet"].compute({"a.b": X}, {"a.b": same}, **metrics()["fid"].variants["sid-metrics"])
    assert zero.value - one.value == pytest.approx(-one.details["covariance_term"] / 300, rel=1e-9)

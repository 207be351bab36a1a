"""What images are compared with, as others give it: statistics that are no numbers, batches that hold both, garbage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.images.reading import Array
from benchmarks.scoring.requests import request
from benchmarks.scoring.score import Result, ScoreSettings, score
from sid.fault import Fault
from tests.made_images import folder, made
from tests.stand_ins import stand_in

IMAGES, REFERENCE = made(60, 16, 16, seed=0), made(64, 16, 16, seed=1)
MEANS = REFERENCE.reshape(64, 3, 2, 8, 2, 8).mean((3, 5)).reshape(64, -1)
MU, SIGMA = MEANS.mean(0), np.cov(MEANS.T)


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def scored(path: Path, *metrics: str, family: str | None = "inception-tf") -> Result:
    return score(Array(IMAGES), {name: request(name) for name in metrics}, path, settings=ScoreSettings(family=family))


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    other = array.copy()
    other[place] = value
    return other


@pytest.mark.parametrize(
    ("mean", "covariance", "told"),
    [
        (changed(MU, (3,), np.nan), SIGMA, "the mean has NaN or infinity"),
        (MU, changed(SIGMA, (3, 4), np.nan), "the covariance has NaN or infinity"),
        (MU, changed(SIGMA, (0, 0), np.inf), "the covariance has NaN or infinity"),
        (MU, changed(SIGMA, (3, 4), SIGMA.max()), "the covariance is not symmetric"),
        (MU, SIGMA[:5], r"a covariance of \[5, 12\] don't belong together"),
        (MU[0], SIGMA, r"a mean of shape \[\]"),
        (MU.astype(str), SIGMA, "not the numbers of statistics"),
    ],
)
def test_statistics_that_are_no_moments_are_refused(
    tmp_path: Path, mean: np.ndarray, covariance: np.ndarray, told: str
) -> None:
    np.savez(tmp_path / "theirs.npz", mu=mean, sigma=covariance)
    with pytest.raises(Fault, match=told):
        scored(tmp_path / "theirs.npz", "fid")


def test_the_rounding_of_float32_is_no_asymmetry(tmp_path: Path) -> None:
    noisy = (SIGMA * (1 + 1e-7 * np.random.default_rng(0).standard_normal(SIGMA.shape))).astype(np.float32)
    np.savez(tmp_path / "theirs.npz", mu=MU.astype(np.float32), sigma=noisy)
    assert scored(tmp_path / "theirs.npz", "fid").scores["fid"].value > 0


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04garbage"])
def test_garbage_as_a_reference_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "reference.npz").write_bytes(content)
    path = str(folder(tmp_path / "images", IMAGES))
    command = ["--results", str(tmp_path), "score", path, "--reference", str(tmp_path / "reference.npz")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "reference.npz can't be read: it is damaged, or no file of arrays" in said and "pickle" not in said


def test_a_batch_with_its_statistics_serves_distances_and_neighbours(tmp_path: Path) -> None:
    """As ADM publishes its reference batches: arr_0 beside mu and sigma."""
    path = tmp_path / "batch.npz"
    np.savez(path, arr_0=REFERENCE.transpose(0, 2, 3, 1), mu=MU + 5, sigma=SIGMA)
    both = scored(path, "fid", "precision")
    plain = score(Array(IMAGES), {name: request(name) for name in ("fid", "precision")}, Array(REFERENCE))
    assert not both.unavailable and both.reference == 64
    assert both.scores["precision"].value == plain.scores["precision"].value
    parts, ours = both.scores["fid"].details, IMAGES.reshape(60, 3, 2, 8, 2, 8).mean((3, 5)).reshape(60, -1).mean(0)
    assert parts["mean_term"] == pytest.approx(np.sum((ours - MU - 5) ** 2), rel=1e-4), "the mean is the file's own"
    assert scored(path, "precision", family=None).scores["precision"].value == plain.scores["precision"].value
    with pytest.raises(Fault, match="declare it with --reference-family"):
        scored(path, "fid", family=None)

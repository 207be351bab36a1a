"""The warp against the same resampling in plain loops: where a pixel lies, and which rows a bump re-runs."""

import math

import numpy as np
import pytest
import torch

from benchmarks.suite.components import methods
from benchmarks.suite.plan import load_plan
from sid.augment import SYM6, Changes, apply, draw
from sid.draws import Draws
from sid.method import AUGMENT_VERSION

CENTRE = 5  # of 12 taps: pixel i lies at 2 i + 5 of the upsampled image
SIDE = 8


def changes(**values: float) -> Changes:
    blank = {name: zero.double() for name, zero in vars(Changes.none(1)).items()}
    return Changes(**{name: zero + values.get(name, 0.0) for name, zero in blank.items()})


def upsampled(image: np.ndarray) -> np.ndarray:
    """The reflected image at twice its pixels, in doubles, by the definition: pixel i adds tap k to place 2 i + k."""
    wide = np.pad(image, SIDE - 1, mode="reflect")
    result = np.zeros([2 * (size - 1) + 12 for size in wide.shape])
    for (row, column), value in np.ndenumerate(wide):
        for k, down in enumerate(SYM6):
            for m, right in enumerate(SYM6):
                result[2 * row + k, 2 * column + m] += 2 * value * down * right
    return result


def bilinear(image: np.ndarray, y: float, x: float) -> float:
    """The four neighbours of a point, zeros outside."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                total += image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def reference(image: np.ndarray, matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Every output pixel as a sum over its 144 taps, each read where the matrix says, in pixels from the centre."""
    large, centre = upsampled(image), (SIDE - 1) / 2
    result = np.zeros((SIDE, SIDE))
    for row, column in np.ndindex(SIDE, SIDE):
        for k, down in enumerate(SYM6):
            for m, right in enumerate(SYM6):
                point = np.array([column + (m - CENTRE) / 2 - centre, row + (k - CENTRE) / 2 - centre])
                x, y = 2 * (matrix @ point + offset + centre + SIDE - 1) + CENTRE
                result[row, column] += down * right / 2 * bilinear(large, y, x)
    return result


CASES = {
    "turned": {"angle": 0.7},
    "enlarged": {"scale": 1.5},
    "shrunk": {"scale": -1.0},
    "stretched": {"anisotropy": 1.2, "direction": 0.4},
    "moved": {"shift": 0.37},
    "all of it": {"scale": -0.5, "angle": -2.0, "anisotropy": 0.8, "direction": -1.0, "shift": 0.2},
}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_the_warp_is_the_sum_over_its_taps(values):
    """On white noise in float64, where a shift of a quarter pixel would change values by more than 1."""
    image = np.random.default_rng(3).standard_normal((SIDE, SIDE))
    one = changes(**values)
    matrix, offset = one.sources(SIDE, SIDE)
    expected = reference(image, matrix[0].numpy(), offset[0].numpy())
    result = apply(torch.from_numpy(image)[None, None], one)[0, 0].numpy()
    np.testing.assert_allclose(result, expected, atol=1e-9)


def test_every_change_has_numbers_of_its_own() -> None:
    """Scale, stretch and both shifts are independent normals, in every pair."""
    changes = draw(Draws(0, 0, range(4096)), 1.0)
    numbers = torch.stack([changes.scale, changes.anisotropy, *changes.shift.unbind(1), changes.angle])
    correlation = torch.corrcoef(numbers) - torch.eye(5)
    assert correlation.abs().max() < 0.06  # four deviations of a correlation of 4096 independent pairs
    assert numbers[:4].std(1).sub(1).abs().max() < 0.05


def test_a_bump_of_the_augmentation_renames_only_the_rows_that_use_it(monkeypatch):
    def digests() -> dict[str, str]:
        return {f"{suite}/{job.id}": job.digest for suite in ("edm64", "mini") for job in load_plan(suite).of("run")}

    before = digests()
    monkeypatch.setattr("sid.method.AUGMENT_VERSION", AUGMENT_VERSION + 1)
    after = digests()
    moved = {name for name in before if before[name] != after[name]}
    rows = {
        f"edm64/{task}/{entry}/0"
        for task in ("ffhq64", "afhqv2-64")
        for entry in ("sid-1.0", "sid-1.2", "sida-1.0", "sid2a-1.0", "sid2a-1.2")
    }
    assert moved == rows & set(before) and len(moved) == 8


def test_diff_instruct_augments_its_critic_as_its_source_does():
    assert methods()["diff-instruct"].options("", "cifar10").augment == 0.12
    assert methods()["diff-instruct"].options("toy", "digits").augment == 0.0

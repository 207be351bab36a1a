"""The augmentation against constructions that share nothing with it."""

import math

import numpy as np
import pytest
import torch

from sid.augment import SYM6, Changes, apply, augment, draw
from sid.draws import Draws


def changed(batch: int, **values: object) -> Changes:
    fields = vars(Changes.none(batch)) | {
        name: torch.as_tensor(value, dtype=torch.float32).expand_as(getattr(Changes.none(batch), name)).clone()
        for name, value in values.items()
    }
    return Changes(**fields)


@pytest.fixture
def smooth() -> torch.Tensor:
    """Images without fine detail, so that the wavelet's filtering costs little: [2, 3, 32, 32]."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    waves = [torch.sin(0.2 * x + 0.3 * k) * torch.cos(0.15 * y - 0.4 * k) + 0.01 * x for k in range(6)]
    return torch.stack(waves).reshape(2, 3, 32, 32)


def test_filter_is_the_orthonormal_wavelet():
    """Orthonormal to its even shifts, sum sqrt(2), and 6 vanishing moments: that pins all 12 taps up to symmetry."""
    taps = np.array(SYM6)
    assert taps.sum() == pytest.approx(math.sqrt(2), abs=1e-10)
    for shift in range(6):
        product = (taps[: len(taps) - 2 * shift] * taps[2 * shift :]).sum()
        assert product == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-10)
    places, signs = np.arange(12.0), (-1.0) ** np.arange(12)
    for moment in range(6):
        assert (signs * taps * (places / 12) ** moment).sum() == pytest.approx(0.0, abs=1e-8)


def test_probability_zero_touches_nothing(smooth):
    images, labels = augment(smooth, Draws(0, 0, range(2)), 0.0)
    assert torch.equal(images, smooth)
    assert torch.equal(labels, torch.zeros(2, 9))


def test_flips_are_exact(smooth):
    flipped = apply(smooth, changed(2, flip_x=[1, 0], flip_y=[0, 1]))
    assert torch.equal(flipped[0], smooth[0].flip(2))
    assert torch.equal(flipped[1], smooth[1].flip(1))


def test_unchanged_images_have_zero_labels_and_only_they(smooth):
    images = smooth[:, :1, :16, :16].repeat(256, 1, 1, 1)
    changes = draw(Draws(0, 3, range(512)), 0.12)
    out, labels = apply(images, changes), changes.labels()
    same = (out == images).flatten(1).all(1)
    zero = (labels == 0).all(1)
    assert torch.equal(same, zero)
    # (1/2) for the x flip, 1 - p/2 for the y flip, 1 - p for each of the other four.
    assert zero.float().mean().item() == pytest.approx(0.5 * 0.94 * 0.88**4, abs=0.07)


def test_identity_warp_gives_the_image_back():
    """Up- and downsampling are adjoint and orthonormal: even noise survives a warp by nothing."""
    noise = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = apply(noise, changed(2, angle=1e-12))  # not zero, so the filters run
    torch.testing.assert_close(out, noise, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("right", "down"), [(4, 0), (0, -8), (-4, 4)])
def test_integer_shift_is_a_reflected_roll(right, down):
    """A whole-pixel shift of noise: exactly numpy's reflected image, shifted, everywhere."""
    image = np.random.default_rng(0).standard_normal((1, 1, 32, 32))
    out = apply(torch.from_numpy(image), changed(1, shift=[right / 4, down / 4]))  # 0.125 of 32 pixels is 4
    mirrored = np.pad(image[0, 0], 31, mode="reflect")
    expected = np.roll(mirrored, (down, right), axis=(0, 1))[31:63, 31:63]
    np.testing.assert_allclose(out[0, 0].numpy(), expected, atol=1e-9)


def test_quarter_turn_is_rot90():
    """Counter-clockwise, about the image's centre to a tenth of a pixel.

    Pixel i is taken to lie at 2 i + 5 of the upsampled image, and the filter's centroid is 0.05 pixels off that: a
    warp by the matrix R reads the image at R p + d (R 1 - 1), d = 0.05, which for the quarter turn is 0.1 pixels in x.
    """
    offset = (sum(k * tap for k, tap in enumerate(SYM6)) / math.sqrt(2) - 5) / 2
    assert abs(offset) < 0.05

    def image(shift_x: float) -> torch.Tensor:
        y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
        return (torch.sin(0.2 * (x + shift_x)) * torch.cos(0.15 * y) + 0.02 * (x + shift_x))[None, None]

    out = apply(image(0), changed(1, angle=math.pi / 2))
    inner = (..., slice(6, 26), slice(6, 26))
    torch.testing.assert_close(out[inner], torch.rot90(image(-2 * offset), 1, (2, 3))[inner], atol=5e-3, rtol=0)
    assert (out - torch.rot90(image(0), 1, (2, 3)))[inner].abs().max() < 0.12 * 0.22  # 0.1 pixels of its steepest slope


def test_scale_and_stretch_against_analytic_resampling():
    """A function of the coordinates, enlarged about the centre, is the function of the shrunk coordinates."""

    def image(scale_x: float, scale_y: float) -> torch.Tensor:
        y, x = torch.meshgrid(torch.arange(32.0) - 15.5, torch.arange(32.0) - 15.5, indexing="ij")
        return (torch.sin(0.2 * x / scale_x) * torch.cos(0.25 * y / scale_y) + 0.02 * x / scale_x)[None, None]

    inner = (..., slice(6, 26), slice(6, 26))
    larger = apply(image(1, 1), changed(1, scale=1.0))
    torch.testing.assert_close(larger[inner], image(2**0.2, 2**0.2)[inner], atol=0.02, rtol=0)
    stretched = apply(image(1, 1), changed(1, anisotropy=1.0))
    torch.testing.assert_close(stretched[inner], image(2**0.2, 2**-0.2)[inner], atol=0.02, rtol=0)
    # Stretched by n along the y axis: squeezed by n along the x axis.
    upright = apply(image(1, 1), changed(1, anisotropy=1.0, direction=math.pi / 2))
    torch.testing.assert_close(upright[inner], image(2**-0.2, 2**0.2)[inner], atol=0.02, rtol=0)


def test_order_scale_turn_stretch_move():
    """The four warps at once against a point carried through them one by one."""
    changes = changed(1, scale=0.7, angle=0.5, anisotropy=-0.8, direction=1.1, shift=[0.3, -0.6])
    point = np.array([3.0, -2.0])  # x right, y up: the mathematician's plane
    moved = 2**0.14 * point

    def turn(angle: float) -> np.ndarray:
        return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    moved = turn(0.5) @ moved
    moved = turn(1.1) @ np.diag([2**-0.16, 2**0.16]) @ turn(-1.1) @ moved
    moved = moved + np.array([0.3 * 4, 0.6 * 4])  # right by 1.2, and up, since -0.6 is "down by -0.6"
    matrix, offset = changes.sources(32, 32)
    source = matrix[0].numpy() @ (moved * [1, -1]) + offset[0].numpy()
    np.testing.assert_allclose(source * [1, -1], point, atol=1e-5)


def test_labels_say_what_was_done():
    changes = changed(1, flip_x=1, flip_y=1, scale=0.5, angle=0.3, anisotropy=2.0, direction=0.4, shift=[0.1, -0.2])
    expected = [1, 1, 0.5, math.cos(0.3) - 1, math.sin(0.3), 2 * math.cos(0.4), 2 * math.sin(0.4), 0.1, -0.2]
    np.testing.assert_allclose(changes.labels()[0].numpy(), expected, atol=1e-6)


def test_an_image_does_not_depend_on_its_batch(smooth):
    images = smooth.repeat(8, 1, 1, 1)
    whole, labels = augment(images, Draws(0, 0, range(16)), 0.9)
    part, part_labels = augment(images[4:9], Draws(0, 0, range(4, 9)), 0.9)
    torch.testing.assert_close(part, whole[4:9], atol=2e-5, rtol=0)
    assert torch.equal(part_labels, labels[4:9])
    other, other_labels = augment(images, Draws(0, 0, range(16)), 0.9, stream="real")
    assert not torch.equal(other_labels, labels) and not torch.equal(other, whole)

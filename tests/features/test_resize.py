"""What separates the kernels: a ramp shows the half pixel, a checkerboard the antialiasing, PIL is the clean one."""

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer

from benchmarks.features.networks import resize
from tests.made_images import made


@pytest.mark.parametrize("side", [32, 256, 299, 512, 1024])
def test_clean_is_pils_float_bicubic(side):
    """To 3e-3 of 255 levels: torch computes positions in float32, an ulp of 6e-5 at 1024 times a slope of tens."""
    image = made(1, side, side, seed=1)
    theirs = build_resizer("clean")(image[0].transpose(1, 2, 0)).transpose(2, 0, 1)
    assert np.abs(resize.clean(torch.from_numpy(image))[0].numpy() - theirs).max() < 3e-3


@pytest.mark.parametrize("side", [32, 1024])
def test_a_ramp_tells_tf1_from_half_pixel_kernels(side):
    """Away from the edges TF1 reads position i * s, the others (i + 0.5) * s - 0.5: 0.5 |s - 1| input pixels apart."""
    slope = 200 / side
    ramp = (torch.arange(side) * slope).round().to(torch.uint8).expand(1, 3, side, side)
    middle = slice(100, 200)
    gap = (resize.bilinear(ramp) - resize.tensorflow(ramp))[0, 0, 150, middle].mean()
    expected = slope * 0.5 * (side / 299 - 1)
    assert gap == pytest.approx(expected, abs=0.05)


def test_a_checkerboard_tells_antialiasing():
    board = (255 * (torch.arange(512)[:, None] + torch.arange(512)).remainder(2)).to(torch.uint8).expand(1, 3, 512, 512)
    smooth, rough = resize.antialiased(board), resize.bilinear(board)
    assert (smooth - 127.5).abs()[0, 0, 10:-10, 10:-10].max() < 30
    assert rough[0, 0, 10:-10, 10:-10].std() > 40
    assert resize.clean(board)[0, 0, 10:-10, 10:-10].std() < 10


def test_antialiasing_changes_nothing_upwards():
    image = torch.from_numpy(made(1, 64, 64))
    assert torch.allclose(resize.antialiased(image), resize.bilinear(image), atol=1e-3)


def test_nothing_happens_at_the_networks_own_size():
    image = torch.from_numpy(made(1, 299, 299))
    for name in ("tensorflow", "clean", "bilinear", "antialiased"):
        assert torch.equal(getattr(resize, name)(image), image.float()), name

"""DINOv2: the published layout loads, positions move to 224 pixels, the class token comes out."""

import numpy as np
import pytest
import timm
import torch

from benchmarks.features import dinov2
from benchmarks.suite.components import extractors
from sid.fault import Fault
from tests.made_images import made
from tests.photos import photos

SMALL = "vit_small_patch14_dinov2"


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(dinov2.Dinov2, "architecture", SMALL)


def test_the_published_layout_loads(small, tmp_path, monkeypatch):
    """518 pixels, with the mask token that no feature needs."""
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    state = timm.create_model(SMALL, pretrained=False, img_size=518, num_classes=0).state_dict()
    state["mask_token"] = torch.zeros(1, 384)
    torch.save(state, tmp_path / "made.pth")
    opened = extractors()["dinov2"].open(tmp_path / "made.pth")
    images = torch.from_numpy(made(2, 60, 80))
    features = opened(images)["cls"]
    assert features.shape == (2, 384) and np.isfinite(features).all()
    assert opened.identity and np.allclose(features[1:], opened(images[1:])["cls"], atol=1e-4)
    torch.save({"a": torch.zeros(1)}, tmp_path / "none.pth")
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(Fault, match="no DINOv2"):
        extractors()["dinov2"].open(tmp_path / "none.pth")


def test_what_the_kernel_overshoots_is_not_clipped():
    """EDM2 hands torch's antialiased bicubic to the network as it is."""
    (photo, *_) = photos()
    pixels = torch.from_numpy(np.asarray(photo).transpose(2, 0, 1).copy())[None]
    prepared = extractors()["dinov2"].prepare(pixels)
    options = {"size": (224, 224), "mode": "bicubic", "antialias": True}
    assert torch.equal(prepared, torch.nn.functional.interpolate(pixels.float(), **options))
    assert prepared.min() < 0 or prepared.max() > 255


def test_positions_stay_where_they_were():
    """A linear field of positions is still linear on the smaller grid, read at DINOv2's own scale."""
    field = torch.linspace(0, 36, 37)[None, :, None, None].expand(1, 37, 37, 1).reshape(1, 1369, 1)
    moved = dinov2.at_224({"pos_embed": torch.cat([torch.full((1, 1, 1), -5.0), field], 1)})["pos_embed"]
    assert moved.shape == (1, 257, 1) and moved[0, 0, 0] == -5
    rows = moved[0, 1:, 0].reshape(16, 16)[:, 8]
    expected = (torch.arange(16) + 0.5) * 37 / 16.1 - 0.5
    assert torch.allclose(rows[2:-2], expected[2:-2], atol=0.1)

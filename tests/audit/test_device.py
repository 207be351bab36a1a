"""The audit's own passes run where --device says; a device that is not there is a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.audit.bench import pixels_to_features
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.cli import main


def test_the_pixels_reach_the_network_on_its_device() -> None:
    seen: list[str] = []

    def network(pixels: torch.Tensor, taps: tuple[str, ...]) -> dict[str, torch.Tensor]:
        seen.append(pixels.device.type)
        return {taps[0]: torch.ones(len(pixels), 3)}

    images = [np.zeros((3, 20, 24), np.uint8)] * 2
    for device in ("cpu", "meta"):
        assert pixels_to_features(network, images, PeerRecipe(), "pool3", device).shape == (2, 3)
    assert seen == ["cpu", "meta"]


def test_a_device_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--device", "abacus", "--output", str(tmp_path)]) == 2
    assert "there is no device 'abacus' here" in capsys.readouterr().err

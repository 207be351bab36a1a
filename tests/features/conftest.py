"""One random Inception, and image files of many sizes, for the whole session."""

import numpy as np
import pytest

from tests.made_images import folder, made

SEED = 0
SIDES = (32, 256, 299, 512, 1024)


@pytest.fixture(scope="session")
def state():
    """The random network's tensors, as every peer loads them."""
    from benchmarks.features.networks.inception import random_state

    return random_state(SEED)


@pytest.fixture(scope="session")
def state_file(state, tmp_path_factory):
    import torch

    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def image_files(tmp_path_factory):
    """16 image files, PNG and JPEG, from 32 to 1024 pixels, one size a folder: {(kind, side): folder}."""
    root = tmp_path_factory.mktemp("images")
    counts = dict(zip(SIDES, (4, 3, 3, 3, 3), strict=True))
    pixels = {side: made(counts[side], side, side, seed=side) for side in SIDES}
    return {
        (kind, side): folder(root / f"{kind}-{side}", pixels[side], kind) for kind in ("png", "jpg") for side in SIDES
    }


def relative(value, truth):
    """Largest deviation over the largest value."""
    return float(np.abs(value - truth).max() / np.abs(truth).max())

"""Distances of peers and ours on features of the same random network; at 2048 dimensions against the Gram form."""

import numpy as np
import pytest
import torch

from benchmarks import frechet
from benchmarks.audit.peer import peers
from benchmarks.components import extractors, metrics
from tests.features.conftest import SEED
from tests.made_images import encoded, made

COUNT = 256  # 4 images per dimension of the tap of 64


@pytest.fixture(scope="session")
def tap_64():
    """Two sets at the 64-dimensional tap, by ours and by torch-fidelity's and torchmetrics' networks."""
    sets = [made(COUNT, 32, 32, seed=seed) for seed in (10, 11)]
    sets[1] = (sets[1] * 0.8).astype(np.uint8)
    network = extractors()["inception-tf"].random(SEED)
    with torch.inference_mode():
        return [network.extract(network.prepare(torch.from_numpy(part)), ["64"])["64"] for part in sets], sets


def test_distances_at_a_tap_of_full_rank(tap_64, fidelity_64):
    ours, sets = tap_64
    with torch.inference_mode():
        theirs = [fidelity_64(torch.from_numpy(part))[0].numpy() for part in sets]
    truth = frechet.distance(*(frechet.moments(part) for part in ours)).value
    for peer in peers().values():
        for name, call in peer.distances().items():
            assert call.run(*theirs) == pytest.approx(truth, rel=1e-4), f"{peer.name} {name}"


@pytest.fixture(scope="session")
def fidelity_64(state_file):
    from benchmarks.audit.networks import fidelity_model

    return fidelity_model(str(state_file), ["64"])


def test_at_2048_dimensions_the_arithmetic_is_the_gram_form(image_files):
    """N < d: singular values of the product of the centred features, never a covariance."""
    from benchmarks.extraction import extract
    from benchmarks.images import open_images

    network = {"inception-clean": extractors()["inception-clean"].random(SEED)}
    x, y = (
        extract(open_images(image_files["png", side]), {"inception-clean": ["pool3"]}, network).features[
            "inception-clean.pool3"
        ].astype(np.float64)
        for side in (32, 299)
    )  # fmt: skip
    centred = [part - part.mean(0) for part in (x, y)]
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    nuclear /= np.sqrt((len(x) - 1) * (len(y) - 1))
    traces = sum(np.sum(part**2) / (len(part) - 1) for part in centred)
    truth = np.sum((x.mean(0) - y.mean(0)) ** 2) + traces - 2 * nuclear
    assert metrics()["fid"].compute({"a.b": x}, {"a.b": y}).value == pytest.approx(truth, rel=1e-6)


@pytest.fixture(scope="session")
def distance_from_the_original():
    """images -> FD at the 64-dimensional tap from the same 128 images unharmed."""
    network = extractors()["inception-clean"].random(SEED)
    # As in photographs, the detail is in the brightness: JPEG halves the resolution of colour at every quality.
    tint = np.random.default_rng(0).integers(-20, 20, (128, 3, 1, 1))
    original = (made(128, 48, 48, seed=20, channels=1) + tint).clip(0, 255).astype(np.uint8)

    def features(images):
        with torch.inference_mode():
            return network.extract(network.prepare(torch.from_numpy(images)), ["64"])["64"]

    reference = frechet.moments(features(original))
    return original, lambda images: frechet.distance(frechet.moments(features(images)), reference).value


def through(images, kind, **options):
    from benchmarks.images import decode

    return np.stack([decode(encoded(image, kind, **options), "made")[0] for image in images])


def test_corruption_is_monotone_and_a_lossless_file_is_none(distance_from_the_original):
    original, distance = distance_from_the_original
    assert abs(distance(through(original, "png"))) < 1e-9
    jpeg = [distance(through(original, "jpeg", quality=quality)) for quality in (95, 75, 30)]
    assert 0 < jpeg[0] < jpeg[1] < jpeg[2]
    noise = np.random.default_rng(0).standard_normal(original.shape)
    noisy = [distance((original + level * noise).clip(0, 255).astype(np.uint8)) for level in (2, 8, 32)]
    assert 0 < noisy[0] < noisy[1] < noisy[2]
    blurred = [distance(blur(original, width)) for width in (3, 5, 9)]
    assert 0 < blurred[0] < blurred[1] < blurred[2]


def blur(images, width):
    """A box of that width."""
    import torch.nn.functional as F

    return F.avg_pool2d(
        torch.from_numpy(images).float(), width, 1, width // 2, count_include_pad=False
    ).round().to(torch.uint8).numpy()  # fmt: skip

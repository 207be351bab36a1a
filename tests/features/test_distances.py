"""Distances of peers and ours on features of the same random network; at 2048 dimensions against the Gram form."""

from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.audit.bench import pixels_to_features
from benchmarks.audit.peer import GivenNetwork, peers
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pipelines import peer_features, read_ours
from benchmarks.images.reading import decode
from benchmarks.metrics import frechet
from benchmarks.suite.components import extractors, metrics
from tests.features.conftest import SEED
from tests.made_images import encoded, folder, made

pytestmark = pytest.mark.slow

TAP, COUNT = 64, 96  # more images than dimensions


def pixels(path):
    return list(read_ours(path)[0].pixels)


@pytest.fixture(scope="session")
def network(state):
    from benchmarks.features.networks.inception import Inception

    ours = Inception()
    ours.load_state_dict(state)
    return ours.fold()


@pytest.fixture(scope="session")
def many_files(tmp_path_factory):
    """Enough images for a covariance of full rank, as files."""
    return folder(tmp_path_factory.mktemp("many"), (made(COUNT, 32, 32, seed=10) * 0.8).astype(np.uint8))


@pytest.fixture(scope="session")
def reference(network):
    """The other side of every distance, the same for all peers: a second set at the tap."""
    images = list(made(COUNT, 32, 32, seed=11))
    return pixels_to_features(network, images, PeerRecipe(), str(TAP)).astype(np.float64)


@pytest.fixture(scope="session")
def ours_by_family(network, many_files):
    """Our features of the files by (resize, normalisation), each made once."""

    @cache
    def features(resize, normalisation):
        recipe = PeerRecipe(resize=resize, normalisation=normalisation)
        return pixels_to_features(network, pixels(many_files), recipe, str(TAP)).astype(np.float64)

    return features


@pytest.mark.parametrize("name", sorted(peers()))
def test_distances_at_a_tap_of_full_rank_from_files(name, state, state_file, many_files, reference, ours_by_family):
    """The peer's network, resize and distance against ours of the same family: within 1e-4, and the families differ."""
    peer = peers()[name]
    ((_, own),) = peer.distances().items()
    calls = peer.networks(GivenNetwork(state, state_file, TAP))
    assert calls
    for label, call in calls.items():
        files = call.read(many_files) if call.read else read_ours(many_files)[0]
        assert sorted(files.names) == sorted(path.name for path in many_files.iterdir())
        theirs = own.run(peer_features(call, files, {}).astype(np.float64), reference)
        features = ours_by_family(call.recipe.resize, call.recipe.normalisation)
        ours = metrics()["frechet"].compute({"a.b": features}, {"a.b": reference}).value
        assert theirs == pytest.approx(ours, rel=1e-4), f"{name} {label}"


def test_at_2048_dimensions_the_arithmetic_on_a_peers_features_is_the_gram_form(image_files, state, state_file):
    """N < d: singular values of the product of the centred features, never a covariance."""
    ((_, call),) = peers()["torch-fidelity"].networks(GivenNetwork(state, state_file)).items()
    x, y = (
        np.concatenate([peer_features(call, call.read(image_files[kind, side]), {}) for side in sides]).astype(float)
        for kind, sides in (("png", (32, 256, 299)), ("jpg", (299, 512, 1024)))
    )
    assert len(x) == 10 and len(y) == 9 and x.shape[1] == 2048
    centred = [part - part.mean(0) for part in (x, y)]
    nuclear = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    nuclear /= np.sqrt((len(x) - 1) * (len(y) - 1))
    traces = sum(np.sum(part**2) / (len(part) - 1) for part in centred)
    truth = np.sum((x.mean(0) - y.mean(0)) ** 2) + traces - 2 * nuclear
    assert metrics()["fid"].compute({"a.b": x}, {"a.b": y}).value == pytest.approx(truth, rel=1e-6)


@pytest.fixture(scope="session")
def distance_from_the_original():
    """images -> FD at the 64-dimensional tap from the same 72 images unharmed."""
    network = extractors()["inception-clean"].random(SEED)
    # As in photographs, the detail is in the brightness: JPEG halves the resolution of colour at every quality.
    tint = np.random.default_rng(0).integers(-20, 20, (72, 3, 1, 1))
    original = (made(72, 48, 48, seed=20, channels=1) + tint).clip(0, 255).astype(np.uint8)

    def features(images):
        with torch.inference_mode():
            return network.extract(network.prepare(torch.from_numpy(images)), ["64"])["64"]

    reference = frechet.moments(features(original))
    return original, lambda images: frechet.distance(frechet.moments(features(images)), reference).value


def through(images, kind, **options):
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

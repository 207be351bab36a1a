"""The same random network in torch-fidelity, torchmetrics, clean-fid, pytorch-fid and here: equal features, from files.

clean-fid reads NVIDIA's TorchScript; here it is a module with the same interface around the random network.
"""

from functools import cache

import numpy as np
import pytest
import torch

from benchmarks.features.extraction import extract
from benchmarks.images.reading import decode, open_images
from benchmarks.suite.components import extractors
from tests.features.conftest import SEED, SIDES, relative

TOLERANCE = 1e-4
TAPS = ["64", "192", "768", "2048", "logits_unbiased", "logits"]
OURS = ["64", "192", "768", "pool3", "logits_unbiased", "logits"]


@cache
def ours(name, path):
    """All our outputs of a folder, by one pass: several peers are compared with them."""
    extracted = extract(open_images(path), {name: OURS}, {name: extractors()[name].random(SEED)}, batch=4)
    return [extracted.features[f"{name}.{output}"] for output in OURS]


def pool3(name, path):
    return ours(name, path)[OURS.index("pool3")]


def batch(path):
    images = open_images(path)
    return torch.from_numpy(np.stack([decode(images.read(i), images.names[i])[0] for i in range(len(images))]))


@pytest.fixture(scope="session")
def fidelity(state_file):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    return FeatureExtractorInceptionV3("random", TAPS, feature_extractor_weights_path=str(state_file))


@pytest.mark.parametrize("side", SIDES)
def test_torch_fidelity_all_taps(image_files, fidelity, side):
    path = image_files["png", side]
    with torch.inference_mode():
        peer = fidelity(batch(path))
    for tap, mine, theirs in zip(TAPS, ours("inception-tf", path), peer, strict=True):
        assert relative(mine, theirs.numpy()) < TOLERANCE, tap


@pytest.mark.parametrize(("antialias", "name"), [(False, "inception-tf"), (True, "inception-antialias")])
@pytest.mark.parametrize("side", SIDES)
def test_torchmetrics(image_files, state_file, antialias, name, side, torchmetrics_nets):
    path = image_files["png", side]
    with torch.inference_mode():
        peer = torchmetrics_nets[antialias](batch(path))
    assert relative(pool3(name, path), peer.numpy()) < TOLERANCE


@pytest.fixture(scope="session")
def torchmetrics_nets(state_file):
    from torchmetrics.image.fid import NoTrainInceptionV3

    def net(antialias):
        return NoTrainInceptionV3("inception-v3-compat", ["2048"], str(state_file), antialias=antialias)

    return {antialias: net(antialias) for antialias in (False, True)}


@pytest.fixture(scope="session")
def clean_models(state, fidelity):
    """clean-fid's two networks with the random tensors: the TorchScript's inside and its own PyTorch Inception."""
    from benchmarks.audit.networks import clean_fid_models

    return clean_fid_models(state)


@pytest.mark.parametrize(
    ("mode", "name"),
    [("clean", "inception-clean"), ("legacy_tensorflow", "inception-tf"), ("legacy_pytorch", "inception-torch")],
)
@pytest.mark.parametrize(("kind", "side"), [*(("png", side) for side in SIDES), ("jpg", 512)])
def test_clean_fid_from_the_files(image_files, clean_models, mode, name, kind, side):
    from cleanfid import fid

    path = image_files[kind, side]
    peer = fid.get_folder_features(
        str(path), clean_models[mode], num_workers=0, device=torch.device("cpu"), mode=mode, verbose=False
    )
    assert relative(pool3(name, path), peer) < TOLERANCE


@pytest.fixture(scope="session")
def pytorch_fid_net(state):
    from benchmarks.audit.networks import pytorch_fid_model

    return pytorch_fid_model(state)


@pytest.mark.parametrize("side", SIDES)
def test_pytorch_fid(image_files, pytorch_fid_net, side):
    path = image_files["png", side]
    with torch.inference_mode():
        peer = pytorch_fid_net(batch(path).float() / 255)[0][:, :, 0, 0]
    assert relative(pool3("inception-torch", path), peer.numpy()) < TOLERANCE


def test_the_families_differ(image_files):
    """What the tests above would not see if the random network were blind to the resize."""
    path = image_files["png", 512]
    features = {name: pool3(name, path) for name in ("inception-tf", "inception-clean", "inception-torch")}
    assert relative(features["inception-tf"], features["inception-clean"]) > 100 * TOLERANCE
    assert relative(features["inception-torch"], features["inception-clean"]) > 100 * TOLERANCE

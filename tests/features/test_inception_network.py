"""The Inception here: layout, folding, what it computes, made weights that are the same everywhere."""

import numpy as np
import pytest
import torch

from benchmarks.features.networks.inception import TAPS, Inception, random_state
from benchmarks.suite.components import extractors
from sid.fault import Fault
from tests.features.conftest import SEED, relative
from tests.made_images import made


def test_the_layout_is_the_published_one(state):
    assert len(state) == 566
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert state["fc.weight"].shape == (1008, 2048)


def test_folding_batch_norms_changes_nothing(state):
    plain, folded = Inception(), Inception()
    plain.load_state_dict(state)
    folded.load_state_dict(state)
    pixels = torch.randn(2, 3, 299, 299)
    with torch.inference_mode():
        before, after = plain.eval()(pixels), folded.fold()(pixels)
    assert all(relative(after[tap].numpy(), before[tap].numpy()) < 1e-5 for tap in TAPS)


def test_only_what_is_asked_for_is_computed(state):
    network = Inception()
    network.load_state_dict(state)
    ran = []
    network.Mixed_7a.register_forward_hook(lambda *args: ran.append("7a"))
    with torch.inference_mode():
        assert list(network.fold()(torch.randn(1, 3, 299, 299), ("192", "64"))) == ["192", "64"]
    assert not ran


def test_random_weights_are_the_same_on_every_machine(state):
    assert float(state["Conv2d_1a_3x3.conv.weight"].double().sum()) == pytest.approx(9.324561786081176, abs=1e-5)
    other = random_state(SEED + 1)
    assert not torch.equal(other["fc.weight"], state["fc.weight"])


def test_batches_do_not_change_features_and_grey_is_repeated():
    network = extractors()["inception-tf"].random(SEED)
    images = torch.from_numpy(made(3, 40, 40))
    whole = network(images)["pool3"]
    single = np.concatenate([network(image[None])["pool3"] for image in images])
    assert relative(single, whole) < 1e-5
    grey = images[:, :1]
    assert np.array_equal(network(grey)["pool3"], network(grey.repeat(1, 3, 1, 1))["pool3"])
    with pytest.raises(Fault, match="must be uint8"):
        network(images.float())


def test_a_patch_is_the_middle_as_it_is():
    patch = extractors()["inception-patch"]
    images = torch.from_numpy(made(1, 321, 400))
    assert torch.equal(patch.prepare(images), images[:, :, 11:310, 50:349].float())


def test_another_network_is_refused(tmp_path, monkeypatch):
    from benchmarks.features import inception

    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    monkeypatch.setattr(inception, "verify", lambda weight, path: "made")
    monkeypatch.setattr(inception, "locate", lambda weight, path: path)
    with pytest.raises(Fault, match=r"is not the Inception of 2015-12-05"):
        extractors()["inception-tf"].open(tmp_path / "other.pth")


@pytest.mark.parametrize("name", ["inception-clean", "clip-vit-b-32", "dinov2", "image-reward"])
def test_a_file_given_by_hand_that_is_not_there_is_told(name, tmp_path):
    with pytest.raises(Fault, match=r"no file .*nowhere\.pth"):
        extractors()[name].open(tmp_path / "nowhere.pth")

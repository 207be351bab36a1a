"""LPIPS as features: squared distances of photographs' vectors are torchmetrics' LPIPS, and prompts are numbered."""

import numpy as np
import pytest
import torch

from benchmarks.features import lpips
from benchmarks.features.networks.resize import antialiased
from benchmarks.suite.components import extractors, metrics
from sid.fault import Fault
from tests.photos import mixed


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    from torchvision.models import alexnet

    path = tmp_path_factory.mktemp("lpips") / lpips.FILE
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(alexnet().state_dict(), path)
    return path


@pytest.fixture
def opened(backbone, monkeypatch):
    monkeypatch.setattr(lpips, "verify", lambda weight, path: "made")
    monkeypatch.setattr(lpips, "locate", lambda weight, path: path)
    monkeypatch.setattr(lpips, "pin", lambda weight, path: None)
    return extractors()["lpips-alex"].open(backbone)


def test_distances_of_photographs_are_torchmetrics(backbone, opened):
    """The peer's own network with the same backbone and its own heads, on the same pixels, pair by pair."""
    from torchmetrics.functional.image.lpips import _LPIPS

    peer = _LPIPS(pretrained=True, net="alex", pnet_rand=True, eval_mode=True)
    slices = [getattr(peer.net, f"slice{number}") for number in range(1, 6)]
    state = torch.load(backbone, weights_only=True)
    for part in slices:
        for name, layer in part.named_children():
            if hasattr(layer, "weight"):
                layer.weight.data.copy_(state[f"features.{name}.weight"])
                layer.bias.data.copy_(state[f"features.{name}.bias"])
    pixels = [torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None] for image in mixed(4)]
    maps = np.concatenate([opened(image)["maps"] for image in pixels])
    theirs = []
    for first in range(4):
        for second in range(first + 1, 4):
            pair = [antialiased(pixels[at], lpips.SIDE) / 127.5 - 1 for at in (first, second)]
            with torch.inference_mode():
                theirs.append(float(peer(*pair)))
            ours = float(((maps[first].astype(float) - maps[second]) ** 2).sum())
            assert ours == pytest.approx(theirs[-1], rel=1e-5)
    features = {"lpips-alex.maps": maps, **named(opened.texts(["a dog"] * 4))}
    score = metrics()["lpips-diversity"].compute(features, images=4)
    assert score.value == pytest.approx(np.mean(theirs), rel=1e-5)
    assert score.details["prompts"] == 1


def named(texts):
    return {f"lpips-alex.{output}": array for output, array in texts.items()}


def test_images_of_one_prompt_are_compared_wherever_they_stand(opened):
    captions = ["a dog", "a cat", "a dog", "a cat"]
    maps = np.array([[0.0, 0], [5, 5], [3, 4], [5, 6]])
    features = {"lpips-alex.maps": maps, **named(opened.texts(captions))}
    score = metrics()["lpips-diversity"].compute(features)
    assert score.value == pytest.approx((25 + 1) / 2)
    assert score.details["std_over_prompts"] == pytest.approx(12)


def test_a_prompt_with_too_few_images_is_refused(opened):
    features = {"lpips-alex.maps": np.eye(3), **named(opened.texts(["a", "a", "b"]))}
    with pytest.raises(Fault, match="at least 2 images of every prompt; that of image 2 has 1"):
        metrics()["lpips-diversity"].compute(features)
    with pytest.raises(Fault, match="4 images of every prompt; that of image 0 has 2"):
        metrics()["lpips-diversity"].compute({**features, "lpips-alex.maps": np.eye(3)}, images=4)


def test_another_network_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lpips, "verify", lambda weight, path: "made")
    monkeypatch.setattr(lpips, "locate", lambda weight, path: path)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(Fault, match="is not torchvision's AlexNet"):
        extractors()["lpips-alex"].open(tmp_path / "other.pth")

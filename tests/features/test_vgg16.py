"""VGG16 fc2 against torch-fidelity's own extractor with the same random weights, and its precision and recall."""

import numpy as np
import pytest
import torch

from benchmarks.features.extraction import extract
from benchmarks.images.reading import open_images
from benchmarks.scoring.requests import request_variant
from benchmarks.suite.components import extractors, metrics
from sid.fault import Fault
from tests.features.conftest import relative
from tests.photos import mixed, write

OUTPUTS = ("fc2", "fc2_relu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from torchvision.models import vgg16

    path = tmp_path_factory.mktemp("vgg16") / "vgg16.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(vgg16().state_dict(), path)
    return path


def test_fc2_of_photographs_is_torch_fidelitys(tmp_path, monkeypatch, weights):
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
    from torch_fidelity.metric_prc import prc_features_to_metric

    from benchmarks.features import vgg16

    monkeypatch.setattr(vgg16, "locate", lambda weight, path: path)
    monkeypatch.setattr(vgg16, "verify", lambda weight, path: "made")
    monkeypatch.setattr(vgg16, "pin", lambda weight, path: None)
    opened = extractors()["vgg16"].open(weights)
    peer = FeatureExtractorVGG16("given", list(OUTPUTS), feature_extractor_weights_path=str(weights))
    crops = mixed(12)
    ours, theirs = [], []
    for at, part in enumerate((crops[:6], crops[6:])):
        folder = write(tmp_path / str(at), part)
        features = extract(open_images(folder), {"vgg16": OUTPUTS}, {"vgg16": opened}).features
        rows = [peer(torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())[None]) for image in part]
        for output, columns in zip(OUTPUTS, zip(*rows, strict=True), strict=True):
            assert relative(features[f"vgg16.{output}"], torch.cat(columns).numpy()) < 1e-4
        ours.append({"vgg16.fc2_relu": features["vgg16.fc2_relu"]})
        theirs.append(torch.cat([row[1] for row in rows]))
    options = {"prc_neighborhood": 3, "prc_batch_size": 100, "save_cpu_ram": False, "verbose": False}
    expected = prc_features_to_metric(*theirs, **options)
    for name in ("precision", "recall"):
        asked = request_variant(name, "torch-fidelity")
        assert asked.features == ("vgg16.fc2_relu",)
        assert metrics()[name].compute(*ours, **asked.options).value == pytest.approx(expected[name], abs=1e-6)


def test_another_network_is_refused(tmp_path, monkeypatch):
    from benchmarks.features import vgg16

    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    monkeypatch.setattr(vgg16, "locate", lambda weight, path: path)
    monkeypatch.setattr(vgg16, "verify", lambda weight, path: "made")
    with pytest.raises(Fault, match="is not torchvision's VGG16"):
        extractors()["vgg16"].open(tmp_path / "other.pth")

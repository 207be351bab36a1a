"""The aesthetic head: folded equals layer by layer, wrong files are refused; the published head where it lies."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.metrics import aesthetic
from benchmarks.suite.components import metrics
from sid.fault import Fault

HEAD = "sac+logos+ava1-l14-linearMSE.pth"
PLACES = [Path(os.environ.get("SIDBENCH_WEIGHTS", "")), Path(__file__).parents[3] / "shared" / "data"]


def made_head(path, kind="linear"):
    """A file of the published layout with made numbers."""
    draws, state = torch.Generator().manual_seed(0), {}
    for index, (width, after) in zip(
        aesthetic.LAYERS[kind], zip(aesthetic.WIDTHS[:-1], aesthetic.WIDTHS[1:], strict=True), strict=True
    ):
        state[f"layers.{index}.weight"] = torch.randn(after, width, generator=draws) / width**0.5
        state[f"layers.{index}.bias"] = torch.randn(after, generator=draws)
    torch.save(state, path)
    return path


@pytest.fixture
def head(tmp_path):
    """The published head where it can be found, a made one of its layout elsewhere."""
    existing = [place / HEAD for place in PLACES if (place / HEAD).is_file()]
    return existing[0] if existing else made_head(tmp_path / HEAD)


def test_folding_five_layers_loses_nothing(head):
    read = aesthetic.read(head)
    embeddings = np.random.default_rng(0).standard_normal((20, 768))
    layered = embeddings
    for weight, bias in read.layers:
        layered = layered @ weight.T + bias
    assert aesthetic.apply(read, embeddings) == pytest.approx(layered[:, 0], rel=1e-6)


def test_relu_heads_are_not_folded(tmp_path):
    read = aesthetic.read(made_head(tmp_path / "relu.pth", "relu"))
    values = embeddings = np.random.default_rng(0).standard_normal((20, 768))
    for weight, bias in read.layers[:-1]:
        values = np.maximum(values @ weight.T + bias, 0)
    weight, bias = read.layers[-1]
    assert read.relu and aesthetic.apply(read, embeddings) == pytest.approx((values @ weight.T + bias)[:, 0])


def test_the_length_of_an_embedding_changes_nothing(head, monkeypatch):
    monkeypatch.setattr(aesthetic, "locate", lambda weight, file: head)
    embeddings = np.random.default_rng(1).standard_normal((6, 768))
    single, tenfold = (metrics()["aesthetic"].compute({"c.image": scale * embeddings}).value for scale in (1, 10))
    assert single == pytest.approx(tenfold)
    with pytest.raises(Fault, match="768 dimensions, got 5"):
        metrics()["aesthetic"].compute({"c.image": embeddings[:, :5]})


def test_a_wrong_file_is_refused(tmp_path):
    with pytest.raises(Fault, match="the file is damaged or another one"):
        metrics()["aesthetic"].compute({"c.image": np.ones((2, 768))}, file=made_head(tmp_path / HEAD))
    with pytest.raises(Fault, match="unknown head 'sax'"):
        metrics()["aesthetic"].compute({"c.image": np.ones((2, 768))}, head="sax")
    (tmp_path / "broken.pth").write_bytes(b"no tensors")
    with pytest.raises(Fault, match="can't be read as tensors"):
        aesthetic.read(tmp_path / "broken.pth")


def test_a_missing_head_says_where_it_was_looked_for(tmp_path, monkeypatch):
    for name in ("SIDBENCH_WEIGHTS", "TORCH_HOME", "HF_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(Fault, match=r"3,714,759 bytes, Apache-2.0, sha256 21dd.*looked in .*get it with") as raised:
        metrics()["aesthetic"].compute({"c.image": np.ones((2, 768))})
    assert str(tmp_path) in str(raised.value)

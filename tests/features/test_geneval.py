"""GenEval's detector through transformers on a small file of the real class, and its list of prompts by sha256."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.data.prompts import LISTS, digest
from benchmarks.features import clip, geneval
from benchmarks.metrics import geneval as rules
from benchmarks.suite.components import extractors
from sid.fault import Fault
from tests import geneval_prompts
from tests.features.test_clip import tiny

DOG, RED, BLUE = geneval.CLASSES.index("dog"), geneval.COLOURS.index("red"), geneval.COLOURS.index("blue")


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    path = tmp_path_factory.mktemp("geneval") / "evaluation_metadata.jsonl"
    path.write_text("".join(f"{line}\n" for line in geneval_prompts.lines()))
    return path


def test_the_list_drawn_again_is_the_published_file(metadata):
    assert hashlib.sha256(metadata.read_bytes()).hexdigest() == geneval.METADATA.sha256
    assert metadata.stat().st_size == geneval.METADATA.size
    prompts = [json.loads(line)["prompt"] for line in metadata.read_text().splitlines()]
    assert len(prompts) == len(set(prompts)) == LISTS["geneval"].count == rules.PROMPTS == 553
    assert digest(prompts) == LISTS["geneval"].sha256


def test_every_prompt_becomes_a_rule(metadata):
    known = geneval.read_rules(metadata)
    assert len(known) == 553 and {len(row) for row in known.values()} == {rules.RULE_WIDTH}
    dog = [DOG, 1, -1, geneval.RELATIONS.index("right of")]
    bear = [geneval.CLASSES.index("teddy bear"), 1, -1, -1]
    assert known["a photo of a dog right of a teddy bear"] == [4, *bear, *dog, -1, -1]
    clock = geneval.CLASSES.index("clock")
    assert known["a photo of two clocks"] == [2, clock, 2, -1, -1, -1, -1, -1, -1, clock, 3]
    counts = np.bincount([int(row[0]) for row in known.values()])
    assert counts.tolist() == [80, 99, 80, 94, 100, 100]


@pytest.fixture
def folder(tmp_path, monkeypatch, metadata):
    """A weights folder with small files of the real classes, in the published layout."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_features=stages
    )
    config = Mask2FormerConfig(
        backbone_config=swin,
        **{"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "num_attention_heads": 2, "num_queries": 6},
        **{"encoder_layers": 1, "encoder_feedforward_dim": 16, "decoder_layers": 2, "dim_feedforward": 16},
        num_labels=80,
    )
    torch.manual_seed(0)
    network = Mask2FormerForUniversalSegmentation(config)
    network.save_pretrained(tmp_path / geneval.DETECTOR.name)
    (tmp_path / geneval.CONFIG.name).mkdir()  # the cache of the hub holds both files beside each other
    (tmp_path / geneval.DETECTOR.name / "config.json").rename(tmp_path / geneval.CONFIG.name / "config.json")
    (tmp_path / "evaluation_metadata.jsonl").write_bytes(metadata.read_bytes())
    (tmp_path / "clip-vit-l-14").mkdir()
    monkeypatch.setattr(clip, "_network", lambda *args: tiny())
    from safetensors.torch import save_file

    save_file(tiny().state_dict(), tmp_path / "clip-vit-l-14" / "open_clip_model.safetensors")
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    return tmp_path, network


def test_the_published_layout_loads_and_every_tensor_is_used(folder, capsys):
    _, network = folder
    opened = extractors()["geneval-meta"].open(None)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in opened.network.state_dict().items())
    assert "pinned on first use" in capsys.readouterr().out
    objects = opened(torch.zeros(1, 3, 40, 60, dtype=torch.uint8))["objects"]
    assert objects.shape == (1, 100, 7)
    assert opened.texts(["a photo of a bench"])["text"].shape == (1, rules.RULE_WIDTH)
    with pytest.raises(Fault, match="'a photo of a unicorn' is none of them"):
        opened.texts(["a photo of a unicorn"])


def test_a_config_of_other_classes_is_refused(folder):
    path, _ = folder
    file = path / geneval.CONFIG.name / "config.json"
    config = json.loads(file.read_text())
    config["id2label"], config["label2id"] = {"0": "a"}, {"a": 0}
    file.write_text(json.dumps(config))
    with pytest.raises(Fault, match=r"does not fit|is of 1 classes, GenEval's detector knows 80"):
        extractors()["geneval-meta"].open(None)


class TwoBoxes(torch.nn.Module):
    """In the place of the detector: two dogs, one in each half of the image, the right one less certain."""

    def forward(self, pixel_values):
        height, width = (side // 4 for side in pixel_values.shape[2:])
        masks = torch.full((1, 3, height, width), -20.0)
        masks[0, 0, :, : width // 2] = 20
        masks[0, 1, :, width // 2 :] = 20
        classes = torch.full((1, 3, 81), -20.0)
        classes[0, 0, DOG], classes[0, 1, DOG], classes[0, 1, 80], classes[0, 2, 80] = 20.0, 1.0, 0.0, 20.0
        return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)


class Reader:
    """In the place of CLIP: the embedding is the mean colour without grey, and the words are colours themselves."""

    def prepare(self, crop):
        return crop.float().mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)

    def extract(self, crops, outputs):
        rows = crops[:, :, 0, 0] - geneval.GREY
        return {"image": (rows / rows.norm(dim=1, keepdim=True)).numpy()}

    def texts(self, texts):
        axes = {"red": [1, -1, -1], "blue": [-1, -1, 1]}
        rows = [axes.get(next(colour for colour in geneval.COLOURS if colour in text), [-1, 1, -1]) for text in texts]
        return {"text": np.array(rows, float)}


def test_boxes_scores_and_colours_of_masks():
    """640 x 320 becomes 1333 x 666 or 667 and is padded; the boxes are those of the image itself."""
    opened = extractors()["geneval-meta"].with_network(TwoBoxes(), "made", "cpu")
    opened.reader = Reader()
    image = torch.zeros(3, 320, 640, dtype=torch.uint8)
    image[0, :, :320], image[2, :, 320:] = 255, 255
    objects = opened(image[None])["objects"][0]
    shown = objects[objects[:, 0] >= 0]
    assert shown[:, 0].tolist() == [DOG, DOG] and shown[:, 6].tolist() == [RED, BLUE]
    assert shown[0, 1] == pytest.approx(1, abs=1e-3)
    assert shown[1, 1] == pytest.approx(np.e / (np.e + 1), abs=1e-3)
    assert np.abs(shown[0, 2:6] - [0, 0, 320, 320]).max() <= 4 and np.abs(shown[1, 2:6] - [320, 0, 640, 320]).max() <= 4

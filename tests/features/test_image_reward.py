"""ImageReward: the published names load, the vision tower computes what timm's does, prompts are cut and counted."""

import numpy as np
import pytest
import timm
import torch

from benchmarks.features import image_reward
from benchmarks.features.extraction import extract
from benchmarks.images.reading import Array
from benchmarks.suite.components import extractors, metrics
from sid.fault import Fault
from tests.made_images import made

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "house"]


@pytest.fixture
def tower(tmp_path, monkeypatch):
    """(file in the published layout, timm's twin of its vision tower); few numbers."""
    monkeypatch.setattr(image_reward.ImageRewardNet, "vision", (32, 2, 2, 16))
    monkeypatch.setattr(image_reward.ImageRewardNet, "text", (32, 2, 2))
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    (tmp_path / "bert-base-uncased").mkdir()
    (tmp_path / "bert-base-uncased" / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    twin = timm.models.vision_transformer.VisionTransformer(
        img_size=224, patch_size=16, embed_dim=32, depth=2, num_heads=2, num_classes=0, global_pool=""
    ).eval()
    network = extractors()["image-reward"].build()
    state = {f"blip.visual_encoder.{name}": tensor for name, tensor in twin.state_dict().items()}
    for name, tensor in network.state_dict().items():
        part, _, rest = name.partition(".")
        if part != "vision":
            state[{"text": "blip.text_encoder.", "head": "mlp.layers."}[part] + rest] = 0.3 * torch.randn_like(tensor)
    state["blip.text_decoder.unread"] = torch.zeros(1)
    torch.save(state, tmp_path / "ImageReward.pt")
    return tmp_path / "ImageReward.pt", twin


def test_the_vision_tower_is_the_published_one(tower):
    path, twin = tower
    opened = extractors()["image-reward"].open(path)
    pixels = opened.normalise(opened.prepare(torch.from_numpy(made(2, 224, 224))))
    with torch.inference_mode():
        ours, theirs = opened.network["vision"](pixel_values=pixels).last_hidden_state, twin(pixels)
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_reward_depends_on_image_and_prompt_and_not_on_the_batch(tower):
    opened = {"image-reward": extractors()["image-reward"].open(tower[0])}
    images = Array(made(5, 60, 80))
    captions = ["a dog", "a cat", "a house", "a dog", "a " * 60]
    wanted = {"image-reward": ["reward", "truncated"]}
    results = [extract(images, wanted, opened, batch=batch, captions=captions).features for batch in (5, 2)]
    rewards = results[0]["image-reward.reward"]
    assert np.allclose(rewards, results[1]["image-reward.reward"], atol=1e-5)
    moved = extract(images, wanted, opened, captions=captions[::-1]).features["image-reward.reward"]
    assert np.abs(rewards - moved)[[0, 1]].min() > 1e-6
    score = metrics()["image-reward"].compute(results[0])
    assert score.details["truncated"] == 1 and "1 of 5 prompts" in score.warnings[0]
    with pytest.raises(Fault, match="give --captions"):
        extract(images, wanted, opened)


def test_a_file_without_a_head_is_refused(tower):
    state = torch.load(tower[0], weights_only=True)
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("mlp")}, tower[0])
    with pytest.raises(Fault, match=r"is no ImageReward: it lacks head\.0\.bias and more"):
        extractors()["image-reward"].open(tower[0])

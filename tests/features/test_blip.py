"""ImageReward: the published names load, the vision tower computes what timm's does, prompts are cut and counted."""

import numpy as np
import pytest
import timm
import torch

from benchmarks.features import blip
from benchmarks.features.extraction import extract
from benchmarks.images.reading import Array
from benchmarks.suite.components import extractors, metrics
from sid.fault import Fault
from tests.made_images import made

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "house"]


@pytest.fixture
def tower(tmp_path, monkeypatch):
    """(file in the published layout, timm's twin of its vision tower); few numbers."""
    monkeypatch.setattr(blip.ImageRewardNet, "vision", (32, 2, 2, 16))
    monkeypatch.setattr(blip.ImageRewardNet, "text", (32, 2, 2))
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


COLUMNS = "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple"
QUESTIONS = f"""{COLUMNS},question_natural_language
a,a dog,,1,0,entity,whole,entity - whole (dog),Is there a dog?
b,a red dog in a house,,1,0,entity,whole,entity - whole (dog),Is there a dog?
b,a red dog in a house,,2,1,attribute,color,"attribute - color (dog, red)",Is the dog red?
b,a red dog in a house,,3,"1,2",relation,spatial,"relation - spatial (dog, house, in)",Is the dog in a house?
"""


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """A small file of the real class, with its config, in a weights folder."""
    from transformers import BlipConfig, BlipForQuestionAnswering

    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    words = {**small, "vocab_size": 40, "encoder_hidden_size": 32, "bos_token_id": 30, "sep_token_id": 3}
    vision = {**small, "image_size": 64, "patch_size": 16}
    torch.manual_seed(0)
    network = BlipForQuestionAnswering(BlipConfig(text_config=words, vision_config=vision)).eval()
    for name, folder in ((blip.VQA.name, "model"), (blip.VQA_CONFIG.name, "config")):
        network.save_pretrained(tmp_path / folder)
        (tmp_path / name).mkdir()
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / blip.VQA.name / "model.safetensors")
    (tmp_path / "config" / "config.json").rename(tmp_path / blip.VQA_CONFIG.name / "config.json")
    (tmp_path / "bert-base-uncased").mkdir()
    asked = ["does", "this", "figure", "show", "yes", "no", "is", "there", "the", "red", "in", "or", "please", "answer"]
    (tmp_path / "bert-base-uncased" / "vocab.txt").write_text("\n".join([*WORDS, *asked, '"', "?", "."]))
    (tmp_path / "dpg_bench.csv").write_text(QUESTIONS)
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    return network


def test_the_probability_of_yes_is_that_of_transformers_own_answer(judge):
    opened = extractors()["blip-vqa"].open(None)
    captions = ["a dog", "the red house in a dog"]
    images = torch.from_numpy(made(2, 80, 60))
    prepared = opened.prepare(images)
    ours = opened.extract_pairs(prepared, captions, ("yes",))["yes"]
    yes = opened.tokenizer.convert_tokens_to_ids("yes")
    for at, caption in enumerate(captions):
        tokens = opened.tokenizer([blip.QUESTION.format(caption)], return_tensors="pt")
        pixels = blip.standardise(prepared[at : at + 1], blip.MEAN, blip.STD)
        answer = judge.generate(
            tokens["input_ids"],
            pixels,
            attention_mask=tokens["attention_mask"],
            max_new_tokens=1,
            output_logits=True,
            return_dict_in_generate=True,
        )
        assert ours[at, 0] == pytest.approx(float(answer.logits[0].softmax(-1)[0, yes]), rel=1e-4)
    score = metrics()["vqascore-blip"].compute({"blip-vqa.yes": ours, "blip-vqa.truncated": np.zeros(2)})
    assert score.value == pytest.approx(ours.mean())


def test_a_parents_no_is_its_childrens(judge):
    opened = extractors()["blip-vqa-dpg"].open(None)
    assert set(opened.items) == {"a red dog in a house"}, "the first question is left out, as DPG-Bench's code does"
    asked = opened.items["a red dog in a house"]
    assert blip.judged(asked, [True, True, True])[0] == 1
    share, parts = blip.judged(asked, [True, False, True])
    assert share == pytest.approx(1 / 3)
    assert parts == [0, 0, 1, 1, 0, 1, 1, 1, 0, 0], "categories count a question without its parents"
    assert blip.judged(asked, [False, True, True])[0] == 0
    images = Array(made(2, 64, 64))
    wanted = {"blip-vqa-dpg": ["score", "parts", "truncated"]}
    features = extract(images, wanted, {"blip-vqa-dpg": opened}, captions=["a red dog in a house"] * 2).features
    score = metrics()["dpg-bench-blip"].compute(features)
    assert 0 <= score.value <= 100 and set(score.details) >= {"entity", "attribute", "relation"}
    with pytest.raises(Fault, match="'a cat' is no prompt of DPG-Bench"):
        extract(images, wanted, {"blip-vqa-dpg": opened}, captions=["a cat"] * 2)


def test_a_file_of_another_kind_is_refused(judge, tmp_path):
    torch.save({"unread": torch.zeros(1)}, tmp_path / "other.bin")
    with pytest.raises(Fault, match="is no BlipForQuestionAnswering: it lacks"):
        extractors()["blip-vqa"].open(tmp_path / "other.bin")

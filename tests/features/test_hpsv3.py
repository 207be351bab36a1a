"""HPSv3 on small files of the real layout: transformers' own network, the page as data, one number per pair."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.features import hpsv3
from benchmarks.features.extraction import extract
from benchmarks.images.reading import Array
from benchmarks.suite.components import extractors, metrics
from sid.fault import Fault
from tests.made_images import made

PAGE = '''
import gone  # nothing of this file is run
raise SystemExit
INSTRUCTION = """
Judge it.
Textual prompt - {text_prompt}
"""
other = INSTRUCTION.lower()
prompt_with_special_token = """
Rate it: <|Reward|>
"""
'''
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
WORDS = [
    *("[UNK]", "system", "user", "assistant", "You", "are", "a", "helpful", "."),
    *("Judge", "it", "Textual", "prompt", "-", "Rate", ":", "dog", "cat", "red"),
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The four files in a weights folder, and transformers' network with the head."""
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(hpsv3.Hpsv3Net, "precision", "float32")
    monkeypatch.setattr(hpsv3, "PIXELS", 6 * 28 * 28)
    for weight in (hpsv3.WEIGHT, hpsv3.CONFIG, hpsv3.TOKENIZER):
        (tmp_path / weight.name).mkdir()
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(tmp_path / hpsv3.TOKENIZER.name / "tokenizer.json"))
    words, image = tokenizer.get_vocab_size(), tokenizer.token_to_id("<|image_pad|>")
    small = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = {  # flat, as Qwen2-VL's file is; its table of words is larger than the tokenizer, HPSv3's is not
        "model_type": "qwen2_vl",
        **small,
        "num_key_value_heads": 1,
        "vocab_size": words + 9,
        "image_token_id": image,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 4, 4]},
        "vision_config": {"depth": 2, "embed_dim": 32, "hidden_size": 48, "num_heads": 2, "patch_size": 14},
    }
    (tmp_path / hpsv3.CONFIG.name / "config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    network = Qwen2VLForConditionalGeneration(Qwen2VLConfig.from_dict({**settings, "vocab_size": words + 1})).eval()
    head = torch.nn.Sequential(
        *(torch.nn.Linear(48, 32), torch.nn.ReLU(), torch.nn.Dropout(0.05)),
        *(torch.nn.Linear(32, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)),
    ).eval()
    state = {f"rm_head.{name}": tensor for name, tensor in head.state_dict().items()}
    for name, tensor in network.state_dict().items():  # the names before transformers 4.52
        older = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        state[older] = tensor.clone()
    save_file(state, tmp_path / hpsv3.WEIGHT.name / "HPSv3.safetensors")
    (tmp_path / "data_collator_qwen.py").write_text(PAGE)
    return network, head, tmp_path


def theirs(network, head, tokenizer, pixels, caption):
    """One pair, as HPSv3's code asks transformers: resized by Pillow, embeddings given, positions left out."""
    from transformers import Qwen2VLImageProcessor

    height, width = hpsv3.sides_of(*pixels.shape[1:])
    resized = Image.fromarray(pixels.transpose(1, 2, 0)).resize((width, height), Image.Resampling.BICUBIC)
    seen = Qwen2VLImageProcessor()(images=[resized], return_tensors="pt")
    assert seen["image_grid_thw"].tolist() == [[1, height // 14, width // 14]], "the processor resizes nothing again"
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
        + "<|image_pad|>" * (height * width // 784)
        + f"<|vision_end|>\nJudge it.\nTextual prompt - {caption}\n\nRate it: <|Reward|>\n<|im_end|>\n"
        + "<|im_start|>assistant\n"
    )
    ids = torch.tensor([tokenizer.encode(text).ids])
    with torch.inference_mode():
        words = network.get_input_embeddings()(ids)
        image = network.model.visual(seen["pixel_values"], grid_thw=seen["image_grid_thw"])
        image = getattr(image, "pooler_output", image)
        mask = (ids == tokenizer.token_to_id("<|image_pad|>"))[..., None]
        read = network.model.language_model(inputs_embeds=words.masked_scatter(mask, image)).last_hidden_state
        return head(read[ids == tokenizer.token_to_id("<|Reward|>")])[0].numpy()


def test_the_preference_is_that_of_transformers_network(files):
    network, head, _ = files
    opened = extractors()["hpsv3"].open(None)
    images, captions = made(3, 70, 90), ["a dog", "a red cat", "a dog"]
    wanted, network_of = {"hpsv3": ["preference"]}, {"hpsv3": opened}
    values = extract(Array(images), wanted, network_of, captions=captions).features["hpsv3.preference"]
    for pixels, caption, value in zip(images, captions, values, strict=True):
        expected = theirs(network, head, opened.tokenizer, pixels, caption)
        assert value == pytest.approx(expected, abs=2e-3), "the two bicubic kernels round a few levels apart"
        assert abs(theirs(network, head, opened.tokenizer, pixels, "red") - expected).max() > 1e-4
    alone = extract(Array(images), wanted, network_of, batch=1, captions=captions).features["hpsv3.preference"]
    assert np.allclose(values, alone, atol=1e-5), "padding changes nothing"
    score = metrics()["hpsv3"].compute({"hpsv3.preference": values})
    assert score.value == pytest.approx(values[:, 0].mean()) and score.details["sigma"] == pytest.approx(
        values[:, 1].mean()
    )


def test_in_bfloat16_as_the_published_code(files, monkeypatch):
    monkeypatch.setattr(hpsv3.Hpsv3Net, "precision", "bfloat16")
    opened = extractors()["hpsv3"].open(None)
    assert {parameter.dtype for parameter in opened.network["backbone"].parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in opened.network["head"].parameters()} == {torch.float32}
    features = extract(
        Array(made(1, 56, 56)), {"hpsv3": ["preference"]}, {"hpsv3": opened}, captions=["a dog"]
    ).features
    assert features["hpsv3.preference"].shape == (1, 2) and features["hpsv3.preference"].dtype == np.float32


def test_the_page_decides_the_identity(files):
    _, _, folder = files
    first = extractors()["hpsv3"].open(None).identity
    (folder / "data_collator_qwen.py").write_text(PAGE.replace("Judge", "Rate"))
    (folder / "pins.json").unlink()  # the first page was pinned
    assert extractors()["hpsv3"].open(None).identity != first


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("INSTRUCTION = 'x {text_prompt}'", "has no text prompt_with_special_token"),
        (PAGE.replace("{text_prompt}", "it"), "must have {text_prompt} once, it has it 0 times"),
        (PAGE.replace("Rate it", "<|Reward|>"), "must have <|Reward|> once, it has it 2 times"),
        ("INSTRUCTION = ", "is no file of Python"),
    ],
)
def test_a_page_that_is_none_is_refused(files, page, reason):
    _, _, folder = files
    (folder / "data_collator_qwen.py").write_text(page)
    with pytest.raises(Fault) as fault:
        extractors()["hpsv3"].open(None)
    assert reason in str(fault.value)


def test_files_that_do_not_belong_together_are_refused(files):
    from safetensors.torch import load_file

    _, _, folder = files
    path = folder / hpsv3.WEIGHT.name / "HPSv3.safetensors"
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}  # the file is written anew below
    for drop, reason in (("rm_head", r"it lacks rm_head\.0\.weight"), ("model.norm", r"it lacks language_model\.norm")):
        save_file({name: tensor for name, tensor in state.items() if not name.startswith(drop)}, path)
        with pytest.raises(Fault, match=reason):
            extractors()["hpsv3"].open(None)
    longer = {**state, "model.embed_tokens.weight": torch.zeros(99, 48), "lm_head.weight": torch.zeros(99, 48)}
    save_file(longer, path)
    with pytest.raises(Fault, match=r"has 99 words, .*tokenizer\.json with <\|Reward\|> \d+"):
        extractors()["hpsv3"].open(None)


def test_a_caption_with_the_networks_own_words_is_refused(files):
    opened = extractors()["hpsv3"].open(None)
    with pytest.raises(Fault, match=r"has <\|Reward\|>, a word of the network's own"):
        extract(Array(made(1, 56, 56)), {"hpsv3": ["preference"]}, {"hpsv3": opened}, captions=["<|Reward|> 10"])


@pytest.mark.parametrize(
    ("sides", "expected"),
    [((512, 512), (448, 448)), ((1024, 1024), (448, 448)), ((448, 448), (448, 448)), ((512, 768), (364, 532))],
)
def test_sides(sides, expected):
    """512 x 768: 504 x 756 rounded has too many pixels; sqrt(200704 / 393216) of each side, rounded down."""
    assert hpsv3.sides_of(*sides) == expected


def test_small_images_are_enlarged():
    height, width = hpsv3.sides_of(100, 200)
    assert (height, width) == (336, 644), "sqrt(200704 / 20000) of each side, 316.8 and 633.6, rounded up to multiples"

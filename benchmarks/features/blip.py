"""BLIP networks, which read an image and a text together: ImageReward's, and one that answers questions.

ImageReward is BLIP-L with linear layers that give the raw reward. The other is transformers' class for visual
question answering: the judge of `vqascore-blip` and `dpg-bench-blip`, which is not the judge of those papers.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import (
    NetworkExtractor,
    full_precision,
    standardise,
    three_channels,
    transformers_network,
)
from benchmarks.features.clip import MEAN, STD, ClipExtractor
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HUB = "https://huggingface.co/THUDM/ImageReward"
WEIGHT = Weight("image-reward", "ImageReward", ("ImageReward.pt",), "Apache-2.0", HUB, hub="THUDM/ImageReward")
VOCABULARY = Weight(
    "bert-base-uncased",
    "ImageReward's tokenizer",
    ("vocab.txt",),
    "Apache-2.0",
    "https://huggingface.co/google-bert/bert-base-uncased",
    hub="google-bert/bert-base-uncased",
)
PROMPT_TOKENS = 35  # that are read, including start and end
HEAD = (0, 2, 4, 6, 7)  # the linear layers; the others are dropouts
VQA_HUB = "Salesforce/blip-vqa-base"
VQA = Weight(
    "blip-vqa-base",
    "VQAScore and DPG-Bench by another judge",
    ("model.safetensors", "pytorch_model.bin"),
    "BSD-3-Clause",
    f"https://huggingface.co/{VQA_HUB}",
    hub=VQA_HUB,
)
VQA_CONFIG = Weight("blip-vqa-base-config", VQA.purpose, ("config.json",), VQA.licence, VQA.source, hub=VQA_HUB)
QUESTIONS = Weight(
    "dpg-bench-questions",
    "DPG-Bench's questions",
    ("dpg_bench.csv",),
    "the ELLA code's",
    "https://raw.githubusercontent.com/TencentQQGYLab/ELLA/main/dpg_bench/dpg_bench.csv",
)
QUESTION = 'Does this figure show "{}"? Please answer yes or no.'  # VQAScore's
PARTS = ("global", "entity", "attribute", "relation", "other")  # DPG-Bench's categories of the first level
# ImageReward's names of the vision tower's tensors to transformers'.
VISION_NAMES = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "blocks": "encoder.layers",
    "attn.proj": "self_attn.projection",
    "attn.qkv": "self_attn.qkv",
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
}


class ImageRewardNet(ClipExtractor):
    """Images are prepared as for CLIP; a reward belongs to an image and its prompt, so captions come with the batch."""

    name = "image-reward"
    version = 1
    paper = "Xu et al., ImageReward, arXiv 2304.05977"
    verified = "layout"
    outputs = ("reward", "truncated")
    pairs = True
    weights = (WEIGHT, VOCABULARY)
    # BLIP-L: (vision width, layers, heads, patch), (text width, layers, heads)
    vision: ClassVar[tuple[int, int, int, int]] = (1024, 24, 16, 16)
    text: ClassVar[tuple[int, int, int]] = (768, 12, 12)
    tokenizer: Any = None

    def open(self, weights: Path | None, device: str = "cpu") -> ImageRewardNet:
        from transformers import BertTokenizer

        path = locate(WEIGHT, weights)
        identity, vocabulary = verify(WEIGHT, path), locate(VOCABULARY)
        network = self.build()
        state = to_transformers(tensors(path))
        missing = sorted(set(network.state_dict()) - set(state))
        if missing:
            raise Fault(f"{path} is no ImageReward: it lacks {missing[0]}" + (" and more" if missing[1:] else ""))
        # The file also has BLIP's pre-training heads, which the reward does not use.
        network.load_state_dict({name: state[name] for name in network.state_dict()})
        opened = self.with_network(network, identity, device)
        opened.tokenizer = BertTokenizer(str(vocabulary))
        pin(WEIGHT, path)
        pin(VOCABULARY, vocabulary)
        return opened

    def random(self, seed: int, device: str = "cpu") -> ImageRewardNet:
        raise Fault(f"{self.name} has no form with random weights")

    def build(self) -> Any:
        """Vision tower, text tower with cross-attention, head."""
        import torch
        from transformers import BlipTextConfig, BlipVisionConfig
        from transformers.models.blip.modeling_blip import BlipVisionModel
        from transformers.models.blip.modeling_blip_text import BlipTextModel

        width, layers, heads, patch = self.vision
        vision = BlipVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            image_size=self.side,
            patch_size=patch,
            layer_norm_eps=1e-6,
        )
        words, layers, heads = self.text
        text = BlipTextConfig(
            vocab_size=30524,  # BERT's 30522, [DEC] and [ENC]
            hidden_size=words,
            encoder_hidden_size=width,
            intermediate_size=4 * words,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            is_decoder=True,  # the layers hold cross-attention; the mask stays that of an encoder
        )
        wide = (words, 1024, 128, 64, 16, 1)
        head = {str(place): torch.nn.Linear(wide[i], wide[i + 1]) for i, place in enumerate(HEAD)}
        return torch.nn.ModuleDict(
            {
                "vision": BlipVisionModel(vision),
                "text": BlipTextModel(text, add_pooling_layer=False),
                "head": torch.nn.ModuleDict(head),
            }
        )

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        import numpy as np

        tokens = self.tokenizer(
            list(captions), padding="max_length", truncation=True, max_length=PROMPT_TOKENS, return_tensors="pt"
        )
        lengths = [len(ids) for ids in self.tokenizer(list(captions))["input_ids"]]
        with full_precision():
            patches = self.network["vision"](pixel_values=self.normalise(prepared)).last_hidden_state
            joint = self.network["text"](
                input_ids=tokens["input_ids"].to(self.device),
                attention_mask=tokens["attention_mask"].to(self.device),
                encoder_hidden_states=patches,
                is_decoder=False,
            )
            values = joint.last_hidden_state[:, 0]
            for place in HEAD:
                values = self.network["head"][str(place)](values)
        return {"reward": values.float().cpu().numpy(), "truncated": np.array(lengths) > PROMPT_TOKENS}

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        raise Fault(f"{self.name} reads images with their captions: give --captions")


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of ImageReward.pt under the names of transformers' BLIP; the text tower's are equal."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("blip.visual_encoder."):
            place = name.removeprefix("blip.visual_encoder.")
            for published, ours in VISION_NAMES.items():
                place = place.replace(published, ours)
            if place.startswith("norm."):
                place = f"post_layernorm.{place.removeprefix('norm.')}"
            renamed[f"vision.{place}"] = tensor
        elif name.startswith("blip.text_encoder."):
            renamed[f"text.{name.removeprefix('blip.text_encoder.')}"] = tensor
        elif name.startswith("mlp.layers."):
            renamed[f"head.{name.removeprefix('mlp.layers.')}"] = tensor
    return renamed


class BlipVqa(NetworkExtractor):
    """Output: `yes`, the probability that the answer to VQAScore's question begins with "yes", of all words."""

    name = "blip-vqa"
    version = 1
    paper = "Li et al., BLIP, arXiv 2201.12086"
    verified = "layout"
    outputs: ClassVar[tuple[str, ...]] = ("yes", "truncated")
    pairs = True
    preprocess = "square-aa-bicubic-uint8/openai-mean-std"
    weights: ClassVar[tuple[Weight, ...]] = (VQA, VQA_CONFIG, VOCABULARY)
    tokenizer: Any = None

    def open(self, weights: Path | None, device: str = "cpu") -> BlipVqa:
        from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

        path, config, vocabulary = locate(VQA, weights), locate(VQA_CONFIG), locate(VOCABULARY)
        network = transformers_network(BlipForQuestionAnswering, BlipConfig, path, config)
        opened = self.with_network(network, verify(VQA, path), device)
        opened.tokenizer = BertTokenizer(str(vocabulary))
        for weight, file in ((VQA, path), (VQA_CONFIG, config), (VOCABULARY, vocabulary)):
            pin(weight, file)
        return opened

    def prepare(self, images: Tensor) -> Tensor:
        """To the network's square, whatever the aspect, rounded to uint8 as transformers' processor does."""
        from torchvision.transforms.v2 import functional

        side = self.network.config.vision_config.image_size
        mode = functional.InterpolationMode.BICUBIC
        return functional.resize(three_channels(images.to(self.device)), [side, side], mode, antialias=True)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        raise Fault(f"{self.name} reads images with their captions: give --captions")

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        probability, truncated, _ = self.answers(prepared, [QUESTION.format(caption) for caption in captions])
        return {"yes": probability[:, None], "truncated": truncated}

    def answers(self, prepared: Tensor, questions: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each image and its question: the probability of "yes", whether the question was cut, the answer yes."""
        import numpy as np

        longest = self.network.config.text_config.max_position_embeddings
        lengths = np.array([len(ids) for ids in self.tokenizer(list(questions))["input_ids"]])
        tokens = self.tokenizer(
            list(questions), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        ).to(self.device)
        with full_precision():
            patches = self.network.vision_model(pixel_values=standardise(prepared, MEAN, STD))[0]
            read = self.network.text_encoder(**_asked(tokens), encoder_hidden_states=patches, return_dict=False)[0]
            likely = self._first_words(read, tokens["attention_mask"].sum(1))
        yes = self.tokenizer.convert_tokens_to_ids("yes")
        return likely[:, yes].cpu().numpy(), lengths > longest, (likely.argmax(-1) == yes).cpu().numpy()

    def _first_words(self, read: Tensor, lengths: Tensor) -> Tensor:
        """Probabilities of an answer's first word [B, words].

        Questions of one length go together: transformers' decoder attends to padding, whatever mask it is given.
        """
        import torch

        likely = read.new_zeros(len(read), self.network.config.text_config.vocab_size, dtype=torch.float32)
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero().squeeze(1)
            start = torch.full((len(rows), 1), self.network.decoder_start_token_id, device=read.device)
            made = self.network.text_decoder(input_ids=start, encoder_hidden_states=read[rows, :length])
            likely[rows] = made.logits[:, -1].float().softmax(-1)
        return likely


def _asked(tokens: Any) -> dict[str, Tensor]:
    return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}


class BlipDpg(BlipVqa):
    """DPG-Bench's questions on an image. Outputs: its `score`, and `parts`: of each category the sum and the count."""

    name = "blip-vqa-dpg"
    version = 1
    paper = "Hu et al., ELLA, arXiv 2403.05135"
    outputs: ClassVar[tuple[str, ...]] = ("score", "parts", "truncated")
    weights: ClassVar[tuple[Weight, ...]] = (*BlipVqa.weights, QUESTIONS)
    items: dict[str, list[DpgQuestion]]

    def open(self, weights: Path | None, device: str = "cpu") -> BlipDpg:
        opened = super().open(weights, device)
        assert isinstance(opened, BlipDpg)
        file = locate(QUESTIONS)
        opened.items = read_questions(file)
        pin(QUESTIONS, file)
        return opened

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        import numpy as np

        made: dict[str, list[Any]] = {"score": [], "parts": [], "truncated": []}
        for image, caption in zip(prepared, captions, strict=True):
            asked = self.items.get(caption.strip())
            if asked is None:
                raise Fault(f"{self.name}: '{caption[:60]}' is no prompt of DPG-Bench")
            _, cut, yes = self.answers(image.expand(len(asked), -1, -1, -1), [question.text for question in asked])
            score, parts = judged(asked, yes.tolist())
            for output, value in (("score", [score]), ("parts", parts), ("truncated", bool(cut.any()))):
                made[output].append(value)
        return {output: np.array(values) for output, values in made.items()}


@dataclass(frozen=True)
class DpgQuestion:
    """One question, its category, and those that must be answered yes for it to count."""

    number: int
    text: str
    part: str
    parents: tuple[int, ...]


def judged(asked: Sequence[DpgQuestion], yes: Sequence[bool]) -> tuple[float, list[float]]:
    """The share of questions with yes whose parents have it too; and per category the sum and count without parents."""
    answers = {question.number: bool(answer) for question, answer in zip(asked, yes, strict=True)}
    counted = dict(answers)
    for question in asked:  # in their order: what a parent lost, its children lose too
        if not all(counted.get(parent, True) for parent in question.parents if parent):
            counted[question.number] = False
    parts = [0.0] * (2 * len(PARTS))
    for question in asked:
        at = 2 * PARTS.index(question.part)
        parts[at] += answers[question.number]
        parts[at + 1] += 1
    return sum(counted.values()) / len(counted), parts


def read_questions(path: Path) -> dict[str, list[DpgQuestion]]:
    """Prompt -> its questions. DPG-Bench's own code leaves out the file's first one, and so does this."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))[1:]
    items: dict[str, list[DpgQuestion]] = defaultdict(list)
    for number, row in enumerate(rows, 3):
        try:
            parents = tuple(int(parent) for parent in row["dependency"].split(","))
            part = row["tuple"].split("(")[0].split("-")[0].strip()
            PARTS.index(part)
            question = DpgQuestion(int(row["proposition_id"]), row["question_natural_language"], part, parents)
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise Fault(f"{path}: line {number} is no question of DPG-Bench: {error}") from None
        items[row["text"].strip()].append(question)
    return dict(items)

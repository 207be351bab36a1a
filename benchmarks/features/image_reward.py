"""ImageReward's network: BLIP-L reads image and prompt together, linear layers give the raw reward."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import full_precision
from benchmarks.features.clip import ClipExtractor
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

"""CLIP towers fine-tuned on human preferences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.features.clip import ClipExtractor, published
from benchmarks.features.inception import colour

if TYPE_CHECKING:
    from torch import Tensor


class HpsExtractor(ClipExtractor):
    """The whole image is shrunk to fit 224 pixels and framed in black, where CLIP itself crops; squares agree."""

    architecture = "ViT-H-14"
    preprocess = "long-side-bicubic-uint8-pad-224/openai-mean-std"

    def prepare(self, images: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional

        images = colour(images.to(self.device))
        scale = self.side / max(images.shape[2:])
        height, width = (round(length * scale) for length in images.shape[2:])
        fitted = functional.resize(images, [height, width], functional.InterpolationMode.BICUBIC, antialias=True)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        frame = [left, top, self.side - width - left, self.side - height - top]
        return functional.pad(fitted, frame)


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a transformers CLIPModel under open_clip's names: q, k and v stacked, projections transposed."""
    import torch

    found = {"logit_scale": state["logit_scale"]}
    for tower, prefix in (("text_model", ""), ("vision_model", "visual.")):
        for name, tensor in state.items():
            if name.startswith(f"{tower}."):
                place = _place(name.removeprefix(f"{tower}."))
                if place:
                    found[prefix + place] = tensor
        layers = {name.split(".")[3] for name in state if name.startswith(f"{tower}.encoder.layers.")}
        for layer in layers:
            for part in ("weight", "bias"):
                stacked = [state[f"{tower}.encoder.layers.{layer}.self_attn.{one}_proj.{part}"] for one in "qkv"]
                found[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{part}"] = torch.cat(stacked)
    found["text_projection"] = state["text_projection.weight"].T.contiguous()
    found["visual.proj"] = state["visual_projection.weight"].T.contiguous()
    return found


NAMES = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "final_layer_norm": "ln_final",
}
PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def _place(name: str) -> str | None:
    """open_clip's name of one tensor; None for those that are stacked or derived."""
    if name in NAMES:
        return NAMES[name]
    stem, _, part = name.rpartition(".")
    if stem in NAMES:
        return f"{NAMES[stem]}.{part}"
    if stem.startswith("encoder.layers."):
        _, _, layer, inner = stem.split(".", 3)
        return f"transformer.resblocks.{layer}.{PARTS[inner]}.{part}" if inner in PARTS else None
    return None


class ClipVitH14Hps20(HpsExtractor):
    """The checkpoint v2.0."""

    name = "clip-vit-h-14-hps-2.0"
    version = 1
    weights = (published("hps-v2.0", "xswu/HPSv2", "HPS_v2_compressed.pt", licence="Apache-2.0", purpose="HPSv2"),)


class ClipVitH14Hps21(HpsExtractor):
    """The checkpoint v2.1."""

    name = "clip-vit-h-14-hps-2.1"
    version = 1
    weights = (published("hps-v2.1", "xswu/HPSv2", "HPS_v2.1_compressed.pt", licence="Apache-2.0", purpose="HPSv2"),)


class ClipVitH14Pick(ClipExtractor):
    """Published in the layout of transformers' CLIPModel."""

    name = "clip-vit-h-14-pick"
    version = 1
    architecture = "ViT-H-14"
    weights = (
        published(
            "pickscore-v1", "yuvalkirstain/PickScore_v1", "model.safetensors", "pytorch_model.bin", purpose="PickScore"
        ),
    )

    def layout(self, state: dict[str, Tensor]) -> dict[str, Tensor]:

        return from_transformers(state)

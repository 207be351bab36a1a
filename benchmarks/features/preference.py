"""CLIP towers that were fine-tuned: on human preferences (HPSv2, PickScore) and on artists' styles (CSD).

A new one is a subclass of `ClipExtractor` as in `clip.py`; `HpsExtractor` prepares the images as HPSv2 does, and
`from_transformers` renames the tensors of a transformers CLIPModel.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight
from benchmarks.features.base import Extractor, full_precision, three_channels
from benchmarks.features.clip import ClipExtractor, hub_weight

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# transformers' names of tensors, or of their stems, to open_clip's; then the parts of a layer.
TENSOR_NAMES = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
    "final_layer_norm": "ln_final",
}
LAYER_NAMES = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


class HpsExtractor(ClipExtractor):
    """The whole image is resized to fit 224 pixels and padded with black; CLIP itself crops.

    The hpsv2 package makes floats of the image and resizes those, by torchvision's default for tensors: without
    antialiasing until torchvision 0.16, which is what the paper (June 2023) could have, with it since 0.17. The two are
    several grey levels rms apart where a photo is shrunk. Floats are neither rounded nor clipped.
    """

    architecture = "ViT-H-14"
    preprocess = "long-side-bicubic-float-pad-224/openai-mean-std"
    antialias: ClassVar[bool] = False

    def prepare(self, images: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional

        images = three_channels(images.to(self.device))
        scale = self.side / max(images.shape[2:])
        height, width = (round(length * scale) for length in images.shape[2:])
        mode = functional.InterpolationMode.BICUBIC
        fitted = functional.resize(images.float(), [height, width], mode, antialias=self.antialias)
        left, top = (self.side - width) // 2, (self.side - height) // 2
        frame = [left, top, self.side - width - left, self.side - height - top]
        return functional.pad(fitted, frame)


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a transformers CLIPModel under open_clip's names: q, k and v stacked, projections transposed."""
    import torch

    converted = {"logit_scale": state["logit_scale"]}
    for tower, prefix in (("text_model", ""), ("vision_model", "visual.")):
        for name, tensor in state.items():
            if name.startswith(f"{tower}."):
                renamed = _open_clip_name(name.removeprefix(f"{tower}."))
                if renamed:
                    converted[prefix + renamed] = tensor
        layers = {name.split(".")[3] for name in state if name.startswith(f"{tower}.encoder.layers.")}
        for layer in layers:
            for part in ("weight", "bias"):
                stacked = [state[f"{tower}.encoder.layers.{layer}.self_attn.{kind}_proj.{part}"] for kind in "qkv"]
                converted[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{part}"] = torch.cat(stacked)
    converted["text_projection"] = state["text_projection.weight"].T.contiguous()
    converted["visual.proj"] = state["visual_projection.weight"].T.contiguous()
    return converted


def _open_clip_name(name: str) -> str | None:
    """open_clip's name of a tensor; None for those that are stacked or derived."""
    if name in TENSOR_NAMES:
        return TENSOR_NAMES[name]
    stem, _, part = name.rpartition(".")
    if stem in TENSOR_NAMES:
        return f"{TENSOR_NAMES[stem]}.{part}"
    if stem.startswith("encoder.layers."):
        _, _, layer, inner = stem.split(".", 3)
        return f"transformer.resblocks.{layer}.{LAYER_NAMES[inner]}.{part}" if inner in LAYER_NAMES else None
    return None


class ClipVitH14Hps20(HpsExtractor):
    """HPSv2's checkpoint v2.0, after the resize of torchvision 0.16 and before."""

    name = "clip-vit-h-14-hps-2.0"
    version = 2
    weights = (hub_weight("hps-v2.0", "xswu/HPSv2", "HPS_v2_compressed.pt", licence="Apache-2.0", purpose="HPSv2"),)


class ClipVitH14Hps20Antialias(ClipVitH14Hps20):
    """HPSv2's checkpoint v2.0, after the resize of torchvision 0.17 and later."""

    name = "clip-vit-h-14-hps-2.0-antialias"
    version = 1
    preprocess = "long-side-aa-bicubic-float-pad-224/openai-mean-std"
    antialias = True


class ClipVitH14Hps21(HpsExtractor):
    """HPSv2's checkpoint v2.1, after the resize of torchvision 0.16 and before."""

    name = "clip-vit-h-14-hps-2.1"
    version = 2
    weights = (hub_weight("hps-v2.1", "xswu/HPSv2", "HPS_v2.1_compressed.pt", licence="Apache-2.0", purpose="HPSv2"),)


class ClipVitH14Hps21Antialias(ClipVitH14Hps21):
    """HPSv2's checkpoint v2.1, after the resize of torchvision 0.17 and later."""

    name = "clip-vit-h-14-hps-2.1-antialias"
    version = 1
    preprocess = "long-side-aa-bicubic-float-pad-224/openai-mean-std"
    antialias = True


class ClipVitH14Pick(ClipExtractor):
    """PickScore's tower, published in the layout of transformers' CLIPModel."""

    name = "clip-vit-h-14-pick"
    version = 1
    architecture = "ViT-H-14"
    weights = (
        hub_weight(
            "pickscore-v1", "yuvalkirstain/PickScore_v1", "model.safetensors", "pytorch_model.bin", purpose="PickScore"
        ),
    )

    def layout(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return from_transformers(state)


class CsdVitL(ClipExtractor):
    """CSD's ViT-L/14 with its projection to styles; the file's projection to content is not read."""

    name = "csd-vit-l"
    version = 1
    paper = "Somepalli et al., Measuring Style Similarity in Diffusion Models, arXiv 2404.01292"
    outputs = ("style",)
    architecture = "ViT-L-14"
    quick_gelu = True
    weights = (Weight("csd-vit-l", "CSD", ("csd_checkpoint.pth",), "MIT", "https://github.com/learn2phoenix/CSD"),)
    texts = Extractor.texts  # it reads none

    def tower(self, device: str) -> Any:
        return super().tower(device).visual

    def layout(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The trunk without "module.backbone.", and the projection to styles under the name of CLIP's own."""
        plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
        trunk = {name.removeprefix("backbone."): part for name, part in plain.items() if name.startswith("backbone.")}
        style = plain.get("last_layer_style")
        return trunk if style is None else {**trunk, "proj": style}

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        with full_precision():
            styles = self.network(self.normalise(prepared))
        return {"style": styles.float().cpu().numpy()}

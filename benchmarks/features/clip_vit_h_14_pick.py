"""CLIP ViT-H/14 fine-tuned on Pick-a-Pic: PickScore."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.features.clip import ClipExtractor, published

if TYPE_CHECKING:
    from torch import Tensor


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
        from benchmarks.features.preference import from_transformers

        return from_transformers(state)

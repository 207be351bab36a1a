"""CLIP ViT-L/14 of OpenAI: the aesthetic predictor, many CLIP scores."""

from __future__ import annotations

from benchmarks.features.clip import ClipExtractor, published


class ClipVitL14(ClipExtractor):
    """OpenAI's weights with the QuickGELU they were trained with."""

    name = "clip-vit-l-14"
    version = 1
    architecture = "ViT-L-14"
    quick_gelu = True
    weights = (published("clip-vit-l-14", "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),)

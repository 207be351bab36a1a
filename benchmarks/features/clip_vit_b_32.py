"""CLIP ViT-B/32 of OpenAI: Hessel, mlcommons."""

from __future__ import annotations

from benchmarks.features.clip import ClipExtractor, published


class ClipVitB32(ClipExtractor):
    """OpenAI's weights with the QuickGELU they were trained with."""

    name = "clip-vit-b-32"
    version = 1
    architecture = "ViT-B-32"
    quick_gelu = True
    weights = (published("clip-vit-b-32", "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"),)

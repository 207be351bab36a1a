"""CLIP ViT-L/14 at 336 pixels of OpenAI: CMMD."""

from __future__ import annotations

from benchmarks.features.clip import ClipExtractor, published


class ClipVitL14At336(ClipExtractor):
    """CMMD crops to the short side and resizes to 336; the order of the two does not matter for a square."""

    name = "clip-vit-l-14-336"
    version = 1
    architecture = "ViT-L-14-336"
    preprocess = "short-side-bicubic-uint8-crop-336/openai-mean-std"
    side = 336
    quick_gelu = True
    weights = (published("clip-vit-l-14-336", "timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),)

"""CLIP ViT-H/14 of LAION-2B."""

from __future__ import annotations

from benchmarks.features.clip import ClipExtractor, published


class ClipVitH14(ClipExtractor):
    """The tower that HPSv2 and PickScore were fine-tuned from."""

    name = "clip-vit-h-14"
    version = 1
    architecture = "ViT-H-14"
    weights = (
        published(
            "clip-vit-h-14",
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
            "open_clip_model.safetensors",
            "open_clip_pytorch_model.bin",
        ),
    )

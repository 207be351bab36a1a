"""CLIP ViT-g/14 of LAION-2B: GigaGAN, DMD, DMD2, SiD-LSG."""

from __future__ import annotations

from benchmarks.features.clip import ClipExtractor, published


class ClipVitG14(ClipExtractor):
    """Not bigG: the flag `ViT-G/14` of those protocols means this one."""

    name = "clip-vit-g-14"
    version = 1
    architecture = "ViT-g-14"
    weights = (
        published(
            "clip-vit-g-14",
            "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
            "open_clip_model.safetensors",
            "open_clip_pytorch_model.bin",
        ),
    )

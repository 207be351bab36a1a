"""The published networks as data: configs where they differ from the class's defaults, text encoders, autoencoders.

From the publishers' config.json and EDM's published init arguments; `benchmarks.estimate.flops` counts them.
"""

from __future__ import annotations

from typing import Any

SD15 = {"sample_size": 64, "cross_attention_dim": 768}
SD21 = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
SDXL = {
    "sample_size": 128,
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "transformer_layers_per_block": [1, 2, 10],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
PIXART = {"sample_size": 64, "out_channels": 8, "caption_channels": 4096, "use_additional_conditions": False}
SD3 = {
    "sample_size": 128,
    "num_layers": 24,
    "num_attention_heads": 24,
    "attention_head_dim": 64,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 192,
}
# name -> family, class, config, what it is published as, sides in pixels, latent channels, decoder,
# (tokens, width, width of the pooled embedding), text encoders
LATENT: dict[str, tuple[Any, ...]] = {
    "sd15": (
        "stable-diffusion",
        "UNet2DConditionModel",
        SD15,
        ["stable-diffusion-v1-5/stable-diffusion-v1-5", "runwayml/stable-diffusion-v1-5"],
        (512, 768),
        (4, "kl-4", (77, 768, 0), ["clip-l"]),
    ),
    "sd21-base": (
        "stable-diffusion",
        "UNet2DConditionModel",
        SD21,
        ["stabilityai/stable-diffusion-2-1-base", "stabilityai/sd-turbo"],
        (512,),
        (4, "kl-4", (77, 1024, 0), ["clip-h"]),
    ),
    "sdxl": (
        "sdxl",
        "UNet2DConditionModel",
        SDXL,
        ["stabilityai/stable-diffusion-xl-base-1.0", "stabilityai/sdxl-turbo"],
        (512, 1024),
        (4, "kl-4", (77, 2048, 1280), ["clip-l", "clip-bigg"]),
    ),
    "pixart": (
        "pixart",
        "PixArtTransformer2DModel",
        PIXART,
        ["PixArt-alpha/PixArt-XL-2-512x512"],
        (512,),
        (4, "kl-4", (120, 4096, 0), ["t5-xxl"]),
    ),
    "sd3-medium": (
        "sd3",
        "SD3Transformer2DModel",
        SD3,
        ["stabilityai/stable-diffusion-3-medium-diffusers"],
        (1024,),
        (16, "kl-16", (333, 4096, 2048), ["clip-l", "clip-bigg", "t5-xxl"]),
    ),
}
SONG = {"img_channels": 3, "model_type": "SongUNet", "model_channels": 128, "augment_dim": 9}
CIFAR = {**SONG, "img_resolution": 32, "channel_mult": [2, 2, 2], "dropout": 0.13}
LARGER = {**SONG, "img_resolution": 64, "channel_mult": [1, 2, 2, 2], "dropout": 0.05}
ADM = {"model_type": "DhariwalUNet", "model_channels": 192, "channel_mult": [1, 2, 3, 4], "dropout": 0.1}
PIXELS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "ddpmpp-32": (CIFAR, ["edm-cifar10-32x32-uncond-vp"]),
    "ddpmpp-32-cond": ({**CIFAR, "label_dim": 10}, ["edm-cifar10-32x32-cond-vp"]),
    "ddpmpp-64": (LARGER, ["edm-ffhq-64x64-uncond-vp", "edm-afhqv2-64x64-uncond-vp"]),
    "adm-64": (
        {**ADM, "img_resolution": 64, "img_channels": 3, "label_dim": 1000},
        ["edm-imagenet-64x64-cond-adm"],
    ),
}
DECODERS = {"kl-4": (4, True, (512, 768, 1024)), "kl-16": (16, False, (1024,))}  # channels, quantising layers, sides
CLIP = {"clip-l": (768, 12, 12), "clip-h": (1024, 23, 16), "clip-bigg": (1280, 32, 20)}  # width, layers, heads
T5: dict[str, Any] = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}
TOKENS = {"clip": 77, "t5": 120, "blip": 35}

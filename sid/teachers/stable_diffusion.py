"""Stable Diffusion 1.5 and 2.1-base: a U-Net with one CLIP text encoder, predicting eps or v."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn


class StableDiffusion(LatentTeacher):
    name = "stable-diffusion"
    version = 1
    paper = "Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, arXiv 2112.10752"
    verified = "layout"
    process = "vp"
    licence = "CreativeML Open RAIL-M (SD 1.5), CreativeML Open RAIL++-M (SD 2.1)"
    pipelines = ("StableDiffusionPipeline", "LatentConsistencyModelPipeline")
    part = "unet"
    network_class = "UNet2DConditionModel"
    given = ("guidance_embedding",)
    encoders = (("tokenizer", "text_encoder"),)
    null_rule = "prompt"

    def licence_of(self, settings: Mapping[str, Any]) -> str:
        """By the text width: SD 1.5 has CLIP-L with 768, SD 2.1 OpenCLIP-H with 1024; empty for others."""
        sd15, sd21 = self.licence.split(", ")
        width = settings["network"].get("cross_attention_dim")
        return {768: sd15, 1024: sd21}.get(width, "")

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import UnetNetwork

        return UnetNetwork(network, settings.get("guidance_embedding"))

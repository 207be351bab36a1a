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
    encoders = (("tokenizer", "text_encoder"),)
    null_rule = "prompt"

    def licence_of(self, settings: Mapping[str, Any]) -> str:
        """SD 1.5 reads CLIP-L, 768 wide, SD 2.1 OpenCLIP-H, 1024 wide; of others nothing is known."""
        one, two = self.licence.split(", ")
        width = settings["network"].get("cross_attention_dim")
        return {768: one, 1024: two}.get(width, "")

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import UnetNetwork

        return UnetNetwork(network, settings.get("guidance_embedding"))

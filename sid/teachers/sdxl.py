"""SDXL: a U-Net with two CLIP text encoders, a pooled embedding and micro-conditioning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn

    from sid.teachers.latent.text import Encoded


class Sdxl(LatentTeacher):
    name = "sdxl"
    version = 1
    paper = "Podell et al., SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis, 2307.01952"
    verified = "layout"
    process = "vp"
    licence = "CreativeML Open RAIL++-M"
    pipelines = ("StableDiffusionXLPipeline",)
    part = "unet"
    network_class = "UNet2DConditionModel"
    given = ("guidance_embedding",)
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    null_rule = "zeros"  # of the text and the pooled embedding: force_zeros_for_empty_prompt in the published folder

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import UnetNetwork

        return UnetNetwork(network, settings.get("guidance_embedding"))

    def time_ids(self, height: int, width: int) -> list[int]:
        """Original size, crop corner, target size (section 2.2): an uncropped picture of its own size."""
        return [height, width, 0, 0, height, width]

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        text, _, pooled, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False, **options)
        return {"text": text, "pooled": pooled}

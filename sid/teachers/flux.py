"""FLUX.1: a rectified-flow transformer over packed latents, with a T5's text and CLIP's pooled embedding.

FLUX.1-dev takes a guidance scale as an input: the setting `guidance_embedding` (its pipeline's default is 3.5).
Guidance between two passes comes on top of it, with the empty prompt as its null.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.teachers.latent import folder as folders
from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn

    from sid.teachers.latent.text import Encoded


class Flux(LatentTeacher):
    name = "flux"
    version = 1
    paper = "Black Forest Labs, FLUX.1, https://github.com/black-forest-labs/flux"
    verified = "layout"
    process = "flow"
    licence = "FLUX.1 [dev] Non-Commercial License"
    pipelines = ("FluxPipeline",)
    part = "transformer"
    network_class = "FluxTransformer2DModel"
    given = ("guidance_embedding", "tokens", "sample_size")
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"))
    pooled = True
    null_rule = "prompt"
    max_tokens = 512  # of the T5
    packed = True

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.flow_networks import FluxNetwork

        return FluxNetwork(network, settings.get("guidance_embedding"))

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        text, pooled, _ = pipeline.encode_prompt(prompts, max_sequence_length=tokens, **options)
        return {"text": text, "pooled": pooled}

    def longest(self, tokenizer: str, tokens: int | None) -> int | None:
        return tokens if tokenizer == "tokenizer_2" else None

    def text_width(self, widths: Mapping[str, int]) -> int | None:
        """The T5's: CLIP gives the pooled embedding alone."""
        return widths["text_encoder_2"]

    def latent_shape(self, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """Its config has no size: that of a picture of 1024 pixels, unless the setting `sample_size` states another."""
        side = settings.get("sample_size", 128)
        return (settings["network"]["in_channels"] // 4, side, side)

    def call_arguments(self, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
        """The size in pixels, from which the pipeline makes the tokens' places, and the embedded guidance."""
        from sid.teachers.latent.flow_networks import GUIDANCE

        shrinks = 2 ** (len(folders.read_json(source / "vae" / "config.json")["block_out_channels"]) - 1)
        side = shrinks * self.latent_shape(settings)[-1]
        arguments: dict[str, Any] = {"height": side, "width": side}
        if settings["network"].get("guidance_embeds"):
            arguments["guidance_scale"] = settings.get("guidance_embedding", GUIDANCE)
        if "tokens" in settings:
            arguments["max_sequence_length"] = settings["tokens"]
        return arguments

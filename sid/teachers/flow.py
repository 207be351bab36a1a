"""Stable Diffusion 3: a flow-matching transformer with two CLIP encoders and a T5 that a folder may leave out.

SiD-DiT (arXiv 2509.25127) distils it, SANA and FLUX; this family covers SD3 and SD3.5. SiD-DiT cuts the T5's prompts at
77 tokens: the setting `tokens: 77`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn

    from sid.teachers.latent.text import Encoded


class StableDiffusion3(LatentTeacher):
    name = "sd3"
    version = 1
    paper = "Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, arXiv 2403.03206"
    verified = "layout"
    process = "flow"
    licence = "Stability AI Community License"
    pipelines = ("StableDiffusion3Pipeline",)
    part = "transformer"
    network_class = "SD3Transformer2DModel"
    given = ("tokens",)
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"), ("tokenizer_3", "text_encoder_3"))
    optional = ("text_encoder_3",)
    null_rule = "prompt"
    max_tokens = 256  # of the T5, as the pipeline's default has it; the CLIP encoders read their own 77
    pooled = True

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import Sd3Network

        return Sd3Network(network)

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        text, _, pooled, _ = pipeline.encode_prompt(
            prompts, None, None, do_classifier_free_guidance=False, max_sequence_length=tokens, **options
        )
        return {"text": text, "pooled": pooled}

    def longest(self, tokenizer: str, tokens: int | None) -> int | None:
        return tokens if tokenizer == "tokenizer_3" else None

    def text_width(self, widths: Mapping[str, int]) -> int | None:
        """The T5's: CLIP's embeddings are padded to it."""
        return widths.get("text_encoder_3")

    def call_arguments(self, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
        return {"max_sequence_length": settings["tokens"]} if "tokens" in settings else {}

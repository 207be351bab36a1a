"""SANA: a linear transformer on a rectified flow over a deep-compression autoencoder, with Gemma-2 as its text encoder.

Its pipeline puts an instruction for the language model before every prompt, and none before the empty one. SANA-Sprint
is another process (TrigFlow) and another pipeline: it is not this family's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn

    from sid.teachers.latent.text import Encoded


class Sana(LatentTeacher):
    name = "sana"
    version = 1
    paper = "Xie et al., SANA: Efficient High-Resolution Image Synthesis with Linear Diffusion Transformers, 2410.10629"
    verified = "layout"
    process = "flow"
    licence = "NSCL v2-custom"
    pipelines = ("SanaPipeline",)
    part = "transformer"
    network_class = "SanaTransformer2DModel"
    given = ("tokens",)
    encoders = (("tokenizer", "text_encoder"),)
    null_rule = "prompt"
    max_tokens = 300
    autoencoder = "AutoencoderDC"

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.flow_networks import SanaNetwork

        return SanaNetwork(network)

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        """With the instruction that the pipeline's call has by default."""
        instruction = inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default
        text, mask, _, _ = pipeline.encode_prompt(
            prompts,
            do_classifier_free_guidance=False,
            max_sequence_length=tokens,
            complex_human_instruction=None if null else instruction,
            **options,
        )
        return {"text": text, "mask": mask.to(text.dtype)}

    def longest(self, tokenizer: str, tokens: int | None) -> int | None:
        """One less than the rows: the instruction's own tokens leave room for `tokens` - 2 beside the first."""
        return tokens - 1 if tokens is not None else None

    def call_arguments(self, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
        cut = {"max_sequence_length": settings["tokens"]} if "tokens" in settings else {}
        return {"use_resolution_binning": False, **cut}

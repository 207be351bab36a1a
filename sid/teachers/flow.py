"""Stable Diffusion 3: a flow-matching transformer with two CLIP encoders and a T5 that a folder may leave out.

SiD-DiT (arXiv 2509.25127) distils it, SANA and FLUX; this family covers SD3 and SD3.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn


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
    encoders = (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2"), ("tokenizer_3", "text_encoder_3"))
    optional = ("text_encoder_3",)
    null_rule = "prompt"
    max_tokens = 256  # of the T5; the CLIP encoders read their own 77
    pooled = True

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import Sd3Network

        return Sd3Network(network)

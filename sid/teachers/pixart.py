"""PixArt-alpha: a diffusion transformer with a T5 encoder, eps-predicting, with learned variances that are dropped.

With the setting `wrapper: iddpm` it runs on the EDM process, entered at sigma 2.5, as in SIM-DiT (arXiv 2410.16794).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import UnknownName
from sid.fault import Fault
from sid.teachers.latent.family import LatentTeacher

if TYPE_CHECKING:
    from torch import nn

    from sid.denoiser import Denoiser
    from sid.teachers.latent.text import Encoded

# SIM-DiT's constants (arXiv 2410.16794): linear betas over M = 1000 steps.
SIM_SCHEDULE = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear", "num_train_timesteps": 1000}


class PixArt(LatentTeacher):
    name = "pixart"
    version = 1
    paper = "Chen et al., PixArt-alpha: Fast Training of Diffusion Transformer, arXiv 2310.00426"
    verified = "layout"
    process = "vp"
    licence = "CreativeML Open RAIL++-M"
    pipelines = ("PixArtAlphaPipeline",)
    part = "transformer"
    network_class = "PixArtTransformer2DModel"
    given = ("wrapper", "tokens")
    former_config: ClassVar = {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single"}
    unused = (
        "caption_projection.y_embedding",
    )  # its training's null text; the pipeline encodes the empty prompt instead
    encoders = (("tokenizer", "text_encoder"),)
    null_rule = "prompt"
    max_tokens = 120

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        from sid.teachers.latent.networks import PixartNetwork

        return PixartNetwork(network)

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        text, mask, _, _ = pipeline.encode_prompt(
            prompts, do_classifier_free_guidance=False, max_sequence_length=tokens, **options
        )
        return {"text": text, "mask": mask.to(text.dtype)}

    def longest(self, tokenizer: str, tokens: int | None) -> int | None:
        return tokens

    def call_arguments(self, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
        cut = {"max_sequence_length": settings["tokens"]} if "tokens" in settings else {}
        return {"use_resolution_binning": False, "clean_caption": False, **cut}

    def _wrapped(self, network: nn.Module, settings: dict[str, Any]) -> Denoiser:
        plain = super()._wrapped(network, settings)
        wrapper = settings.get("wrapper")
        if wrapper is None:
            return plain
        if wrapper != "iddpm":
            raise UnknownName("wrapper of pixart", wrapper, ["iddpm"])
        from sid.denoiser import Denoiser
        from sid.noise import Edm, VpDiscrete
        from sid.teachers.latent.networks import SigmaInput
        from sid.teachers.latent.schedule import completed

        assert isinstance(plain.process, VpDiscrete)
        stated = completed(settings["scheduler"])
        if other := [key for key, value in SIM_SCHEDULE.items() if stated.get(key) != value]:
            raise Fault(f"wrapper iddpm needs PixArt's own noise schedule: {other[0]} is {stated.get(other[0])}")
        inner = SigmaInput(plain.network, plain.process.alphas_cumprod)
        levels = inner.levels
        process = Edm(sigma_min=float(levels[0]), sigma_max=float(levels[-1]))
        return Denoiser(inner, process, "x0", self.name, dict(settings))

"""SD 1.5's teacher rows are sampled by its pipeline's own scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from benchmarks.suite.components import teachers
from benchmarks.suite.load import load_suite
from sid.prompts import cache_prompts
from sid.teachers.latent.samplers import scheduled
from tests.sid.teachers.tiny_pipelines import SIZE, family_of, save


@pytest.mark.parametrize("name", ["stable-diffusion", "stable-diffusion-v"])
def test_a_guided_teacher_makes_its_pipelines_image(name: str, tmp_path: Path) -> None:
    """Both predictions of eps and of v, guided; PNDM asks 5 times for 4 steps."""
    folder, family = save(name, tmp_path / "model"), teachers()[family_of(name)]
    prompts = ["a red cat", "two blue dogs"]
    cache = cache_prompts(family.text_encoder(folder), prompts, tmp_path / "cache", "float32")
    pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = diffusers.PNDMScheduler.from_config(pipeline.scheduler.config, skip_prk_steps=True)
    denoiser = family.load(folder)
    shape = (denoiser.settings["network"]["in_channels"], SIZE, SIZE)
    z = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    theirs = pipeline(
        prompts, num_inference_steps=4, guidance_scale=3.0, latents=z.clone(), output_type="latent"
    ).images
    calls: list[int] = []
    denoiser.register_forward_hook(lambda *call: calls.append(1))
    ours = scheduled(denoiser, z, cache.condition([0, 1]), 4, 3.0, "pndm")
    assert len(calls) == 5
    assert ((ours - theirs).abs() / theirs.abs().clamp_min(1)).max() < 2e-5
    assert (scheduled(denoiser, z, cache.condition([0, 1]), 4, 3.0, "ddim") - ours).abs().max() > 0.01


def test_sd15s_rows_ask_for_it() -> None:
    rows = [entry for entry in load_suite("sd15").entries_of("sd15-coco").values() if entry.control == "teacher"]
    assert len(rows) == 5 and {entry.sampler for entry in rows} == {"pndm"}

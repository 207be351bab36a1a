"""Teacher samplers: EDM's two algorithms in closed form, the schedulers against the pipelines that use them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import nn

from benchmarks.suite.components import teachers
from sid.condition import Condition, Unconditional
from sid.denoiser import Denoiser
from sid.discovery import UnknownName
from sid.draws import Draws
from sid.fault import Fault
from sid.noise import Edm
from sid.prompts import PromptConditions, cache_prompts
from sid.sampling import Churn, Sampler, from_generator, from_teacher, generate, heun
from sid.teachers.latent.samplers import scheduled
from tests import toy
from tests.sid.teachers.tiny_pipelines import SIZE, family_of

Folder = Callable[[str], Path]
SPREAD = 0.5


class Gaussian(nn.Module):
    """The exact denoiser of N(0, SPREAD^2), as an x0 network on the EDM process."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, condition: Condition, want: frozenset[str]) -> Any:
        variance = SPREAD**2
        return x * (variance / (variance + t**2)).reshape(-1, 1, 1, 1).to(x.dtype), None


def gaussian() -> Denoiser:
    return Denoiser(Gaussian(), Edm(), "x0")


@pytest.mark.parametrize("steps", [1, 3])
def test_a_students_guidance_is_that_of_each_step(steps: int) -> None:
    """kappa 1 is the student itself, 0 its null condition alone, and one step is affine in kappa."""
    from sid.chain import Chain
    from sid.draws import Draws
    from sid.generator import Generator

    generator = Generator(toy.teacher(dtype=torch.float64), Chain(steps))
    draws = Draws(0, 0, range(6), "sample")
    condition = toy.data().conditions.draw(draws)

    def images(kappa: float, given: Condition = condition) -> torch.Tensor:
        return from_generator(generator, kappa=kappa)(draws, given, toy.SHAPE, torch.empty(0, dtype=torch.float64))

    assert torch.equal(images(1.0), from_generator(generator)(draws, condition, toy.SHAPE, torch.empty(0).double()))
    assert torch.equal(images(0.0), images(1.0, condition.unconditional()))
    assert (images(3.0) - images(1.0)).abs().max() > 1e-3
    if steps == 1:
        torch.testing.assert_close(images(3.0), 3 * images(1.0) - 2 * images(0.0), rtol=1e-10, atol=1e-10)


def test_no_churn_is_the_deterministic_sampler_bit_for_bit() -> None:
    z = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    plain = heun(gaussian(), z, Condition(), 6)
    assert torch.equal(heun(gaussian(), z, Condition(), 6, churn=Churn(0.0)), plain)
    above = Churn(40.0, low=100.0)  # no sigma of the grid lies there
    assert torch.equal(heun(gaussian(), z, Condition(), 6, churn=above), plain)


def test_churn_raises_sigma_and_adds_what_was_missing() -> None:
    """One step of algorithm 2 by hand, from sigma = 80 to 0 by Euler: gamma = min(S/N, sqrt 2 - 1)."""
    z = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64)
    noise = torch.full((1, 1, 1, 1), -1.5, dtype=torch.float64)
    churn = Churn(amount=0.2, noise=1.003)
    sampled = heun(gaussian(), z, Condition(), 1, churn=churn, fresh=lambda step: noise)
    sigma = 80 * 1.2
    x = 0.3 * 80 + math.sqrt(sigma**2 - 80**2) * 1.003 * -1.5
    assert sampled.item() == pytest.approx(x * SPREAD**2 / (SPREAD**2 + sigma**2), rel=1e-12)
    assert Churn(1000.0).factor(1.0, 10) == math.sqrt(2) - 1
    assert Churn(10.0, low=0.05, high=50.0).factor(0.04, 10) == 0 == Churn(10.0, low=0.05, high=50.0).factor(60.0, 10)


def test_the_stochastic_sampler_keeps_the_law_of_the_data() -> None:
    """With the exact denoiser both samplers must give N(0, 1/4); without the added noise it would shrink."""
    z = torch.randn(20_000, 1, 1, 1, generator=torch.Generator().manual_seed(1))
    random = torch.Generator().manual_seed(2)

    def fresh(step: int) -> torch.Tensor:
        return torch.randn(z.shape, generator=random)

    churned = heun(gaussian(), z, Condition(), 200, churn=Churn(20.0), fresh=fresh)
    assert churned.std().item() == pytest.approx(SPREAD, rel=0.03)
    silent = heun(gaussian(), z, Condition(), 200, churn=Churn(20.0, noise=0.0), fresh=fresh)
    assert silent.std().item() < 0.8 * SPREAD
    assert (churned - heun(gaussian(), z, Condition(), 200)).abs().mean() > 0.1, "another image from the same z"


def test_stochastic_noise_belongs_to_the_sample_index() -> None:
    sampler = from_teacher(gaussian(), 5, churn=Churn(5.0))
    whole = generate(sampler, Unconditional(), (1, 2, 2), range(10), 0, 10)
    parts = generate(sampler, Unconditional(), (1, 2, 2), range(10), 0, 3)
    assert (whole == parts).all() and whole.std() > 10


def test_where_memory_ends_the_batch_is_halved() -> None:
    """From there on, and to the same images; for one sample there is nothing to halve."""
    sizes = []

    def limited(most: int) -> Sampler:
        def sample(draws: Draws, condition: Condition, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
            sizes.append(len(draws.indices))
            if len(draws.indices) > most:
                raise torch.OutOfMemoryError("no room")
            return draws.normal("z0", shape, like)

        return sample

    whole = generate(limited(10), Unconditional(), (1, 2, 2), range(2, 12), 0, 10)
    sizes.clear()
    assert (generate(limited(3), Unconditional(), (1, 2, 2), range(2, 12), 0, 10) == whole).all()
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    sizes.clear()
    latents = generate(limited(10), Unconditional(), (1, 2, 2), range(2, 12), 0, 10, decode=torch.neg)
    assert (latents != whole).any() and len(latents) == 10
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        generate(limited(0), Unconditional(), (1, 2, 2), range(4), 0, 4)


def test_an_unknown_sampler_names_those_of_the_process() -> None:
    with pytest.raises(UnknownName, match=r"'huen'; did you mean 'heun'\?"):
        from_teacher(gaussian(), 5, name="huen")
    with pytest.raises(UnknownName, match="edm process 'ddim'; known: heun"):
        from_teacher(gaussian(), 5, name="ddim")
    with pytest.raises(Fault, match="at least 1 step"):
        from_teacher(gaussian(), 0)


class ExactTicks(diffusers.DPMSolverMultistepScheduler):
    """The flow's own times, which the scheduler rounds to integers before it tells the network."""

    def set_timesteps(self, *args: Any, **extra: Any) -> None:
        super().set_timesteps(*args, **extra)
        self.timesteps = 1000 * self.sigmas[:-1]


def pipelines_scheduler(name: str, sampler: str, config: Any) -> Any:
    if sampler == "ddim":
        return diffusers.DDIMScheduler.from_config(config, clip_sample=False)
    if sampler == "euler":
        return diffusers.FlowMatchEulerDiscreteScheduler.from_config(config)
    if name == "sana":
        return ExactTicks.from_config(config)
    if name == "sd3":
        return ExactTicks(use_flow_sigmas=True, flow_shift=config.shift, prediction_type="flow_prediction")
    return diffusers.DPMSolverMultistepScheduler.from_config(config)


@pytest.mark.parametrize(
    "name, sampler",
    [
        ("stable-diffusion", "ddim"),
        ("stable-diffusion-v", "dpm++"),
        ("sdxl", "ddim"),
        ("pixart", "dpm++"),
        ("sd3", "euler"),
        ("sd3", "dpm++"),
        ("sana", "dpm++"),
        ("flux", "euler"),
    ],
)
def test_a_guided_teacher_makes_its_pipelines_image(
    name: str, sampler: str, pipeline_folder: Folder, tmp_path: Path
) -> None:
    family, folder = teachers()[family_of(name)], pipeline_folder(name)
    prompts = ["a red cat", "two blue dogs"]
    cache = cache_prompts(
        family.text_encoder(folder), prompts, tmp_path, "float32", family.time_ids(2 * SIZE, 2 * SIZE)
    )
    denoiser = family.load(folder)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.scheduler = pipelines_scheduler(name, sampler, pipeline.scheduler.config)
    shape = (family.latent_shape({"sample_size": SIZE, **denoiser.settings})[0], SIZE, SIZE)
    z = torch.randn(2, *shape, generator=torch.Generator().manual_seed(3))
    extra: dict[str, Any] = {"guidance_scale": 3.0, "latents": z.clone()}
    if name in ("pixart", "sana"):
        extra |= {"use_resolution_binning": False, "clean_caption": False}
    if name == "flux":
        extra = {"height": 2 * SIZE, "width": 2 * SIZE, "true_cfg_scale": 3.0, "negative_prompt": ["", ""]}
        extra["latents"] = pipeline._pack_latents(z, 2, *shape)
    theirs = pipeline(prompts, num_inference_steps=4, output_type="latent", **extra).images
    if name == "flux":
        theirs = pipeline._unpack_latents(theirs, 2 * SIZE, 2 * SIZE, pipeline.vae_scale_factor)
    ours = scheduled(denoiser, z, cache.condition([0, 1]), 4, 3.0, sampler)
    assert theirs.abs().max() > 1.5, "clamping to [-1, 1] would show"
    assert ((ours - theirs).abs() / theirs.abs().clamp_min(1)).max() < 2e-5
    if sampler == "ddim":
        clamped = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=True)
        pipeline.scheduler = clamped
        wrong = pipeline(prompts, num_inference_steps=4, guidance_scale=3.0, latents=z.clone(), output_type="latent")
        assert (wrong.images - ours).abs().max() > 0.5


def test_latents_are_decoded_with_the_models_own_scale(pipeline_folder: Folder, tmp_path: Path) -> None:
    for name, scale, shift in [
        ("stable-diffusion", 0.18215, 0.0),
        ("sdxl", 0.13025, 0.0),
        ("sana", 0.41407, 0.0),
        ("flux", 0.3611, 0.1159),
        ("sd3", 1.5305, 0.0609),
    ]:
        family, folder = teachers()[name], pipeline_folder(name)
        decoder = family.decoder(folder)
        assert (decoder.scale, decoder.shift) == (scale, shift)
        shape = decoder.sample_shape(2 * SIZE)
        latents = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
        theirs = pipeline.vae.decode(latents / scale + shift, return_dict=False)[0]
        assert torch.equal(decoder(latents), theirs)
        with pytest.raises(Fault, match="no whole latent"):
            decoder.sample_shape(2 * SIZE + 1)
    cache = cache_prompts(family.text_encoder(folder), ["a", "b"], tmp_path)
    sampler = from_teacher(family.load(folder), 2)
    pictures = generate(sampler, PromptConditions(cache, "index"), shape, range(3), 0, 2, decode=decoder)
    assert pictures.shape == (3, 3, 2 * SIZE, 2 * SIZE) and pictures.dtype == "uint8" and pictures.std() > 5


def test_decoding_undoes_encoding_up_to_the_autoencoder(pipeline_folder: Folder) -> None:
    decoder = teachers()["sd3"].decoder(pipeline_folder("sd3"))
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    latents = decoder.encode(images)
    assert torch.allclose(latents / 1.5305 + 0.0609, decoder.autoencoder.encode(images).latent_dist.mean, atol=1e-6)
    decoder = teachers()["sana"].decoder(pipeline_folder("sana"))
    assert torch.allclose(decoder.encode(images) / 0.41407, decoder.autoencoder.encode(images).latent, atol=1e-6)

"""The latent teachers against the pipelines they were loaded from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from benchmarks.suite.components import teachers
from sid.condition import Condition
from sid.denoiser import FEATURES, X0, Denoiser
from sid.fault import Fault
from sid.guidance import guided
from sid.prompts import cache_prompts
from sid.teachers.latent.flow_networks import FluxNetwork
from sid.teachers.latent.networks import PixartNetwork
from tests.sid.teachers.tiny_pipelines import FLOWS, MAKERS, SIZE, family_of, flux, pixart, stable_diffusion, unet

Folder = Callable[[str], Path]
PROMPTS = ["a red cat", "two blue dogs on a chair"]
VP = [name for name in MAKERS if name not in FLOWS]


def pipeline_of(folder: Path) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def opened(name: str, folder: Path, tmp_path: Path) -> tuple[Denoiser, Condition]:
    """The teacher, and the prompts' condition through a float32 cache."""
    family = teachers()[family_of(name)]
    encoder = family.text_encoder(folder)
    cache = cache_prompts(encoder, PROMPTS, tmp_path, "float32", family.time_ids(2 * SIZE, 2 * SIZE))
    return family.load(folder), cache.condition([0, 1])


def repeated(condition: Condition, count: int) -> Condition:
    return condition[torch.arange(count) % 2]


def latents(denoiser: Denoiser, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    channels, *_ = teachers()[denoiser.family].latent_shape(denoiser.settings)
    return torch.randn(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(3)).to(dtype)


def output_of(pipeline: Any, name: str, x: torch.Tensor, t: torch.Tensor, condition: Condition) -> torch.Tensor:
    """The pipeline's own network, called as the pipeline calls it."""
    if name == "pixart":
        extra: dict[str, Any] = {
            "encoder_attention_mask": condition.mask,
            "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        }
        out = pipeline.transformer(x, encoder_hidden_states=condition.text, timestep=t, **extra).sample
        return out.chunk(2, dim=1)[0]
    if name in FLOWS:
        return flow_of(pipeline, name, x, t, condition)
    added = {"text_embeds": condition.pooled, "time_ids": condition.time_ids} if name == "sdxl" else None
    return pipeline.unet(x, t, encoder_hidden_states=condition.text, added_cond_kwargs=added).sample


def flow_of(pipeline: Any, name: str, x: torch.Tensor, t: torch.Tensor, condition: Condition) -> torch.Tensor:
    """A flow pipeline's network at the ticks t."""
    transformer, text = pipeline.transformer, {"encoder_hidden_states": condition.text}
    if name == "sana":
        return transformer(x, timestep=t, encoder_attention_mask=condition.mask, **text).sample
    if name == "sd3":
        return transformer(hidden_states=x, timestep=t, pooled_projections=condition.pooled, **text).sample
    packed = pipeline._pack_latents(x, len(x), x.shape[1], SIZE, SIZE)
    extra = {
        "guidance": torch.full((len(x),), 3.5),
        "txt_ids": torch.zeros(condition.text.shape[1], 3),
        "img_ids": pipeline._prepare_latent_image_ids(len(x), SIZE // 2, SIZE // 2, "cpu", torch.float32),
    }
    out = transformer(packed, timestep=t / 1000, pooled_projections=condition.pooled, **text, **extra).sample
    return pipeline._unpack_latents(out, 2 * SIZE, 2 * SIZE, pipeline.vae_scale_factor)


@pytest.mark.parametrize("name", VP)
@pytest.mark.parametrize("dtype, every", [(torch.float64, 1), (torch.float32, 27)])
def test_x0_is_the_schedulers_own_at_every_timestep(
    name: str, dtype: torch.dtype, every: int, pipeline_folder: Folder, tmp_path: Path
) -> None:
    """In float64 to 1e-5; in float32 to 1e-5 of x0, which is up to 500 where a_t is smallest."""
    denoiser, condition = opened(name, pipeline_folder(name), tmp_path)
    pipeline = pipeline_of(pipeline_folder(name))
    pipeline.to(dtype=dtype)
    scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    t = torch.arange(0, 1000, every)
    x = latents(denoiser, len(t), dtype)
    many = repeated(condition, len(t)).to(x)
    with torch.no_grad():
        ours = denoiser.to(dtype)(x, t, many).image
        output = output_of(pipeline, name, x, t, many)
    scheduler.set_timesteps(1000)
    if dtype == torch.float64:  # its roots are taken in the type of its table
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    theirs = torch.cat(
        [scheduler.step(output[i : i + 1], int(t[i]), x[i : i + 1]).pred_original_sample for i in range(len(t))]
    )
    assert theirs.abs().max() > 2, "an unclamped x0 leaves [-1, 1]"
    scale = 1.0 if dtype == torch.float64 else theirs.abs().clamp_min(1)
    assert ((ours - theirs).abs() / scale).max() < 1e-5


@pytest.mark.parametrize("t", [0, 625, 999])
def test_x0_of_sdxl_is_its_own_euler_schedulers(t: int, pipeline_folder: Folder, tmp_path: Path) -> None:
    """The published scheduler works on x_t / a_t and scales its input back."""
    denoiser, condition = opened("sdxl", pipeline_folder("sdxl"), tmp_path)
    pipeline = pipeline_of(pipeline_folder("sdxl"))
    pipeline.scheduler.set_timesteps(timesteps=[t])
    (time,) = pipeline.scheduler.timesteps
    a, _ = denoiser.process.coefficients(torch.tensor([t]))
    x_t = latents(denoiser, 2)
    at_sigma = x_t / a.float()
    with torch.no_grad():
        output = output_of(pipeline, "sdxl", pipeline.scheduler.scale_model_input(at_sigma, time), time, condition)
        theirs = pipeline.scheduler.step(output, time, at_sigma).pred_original_sample
        ours = denoiser(x_t, torch.full((2,), t), condition).image
    assert ((ours - theirs).abs() / theirs.abs().clamp_min(1)).max() < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("name", FLOWS)
def test_x0_of_a_flow_is_its_own_schedulers_at_every_step(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    denoiser, condition = opened(name, pipeline_folder(name), tmp_path)
    pipeline = pipeline_of(pipeline_folder(name))
    own = pipeline.scheduler
    if name == "flux":
        own.set_timesteps(sigmas=[1 - k / 50 for k in range(50)], mu=0.7)
    else:
        own.set_timesteps(50)
    sigmas = own.sigmas[:-1]
    assert (own.timesteps - 1000 * sigmas).abs().max() < 1, "SANA's scheduler cuts its ticks to whole numbers"
    x = latents(denoiser, len(sigmas))
    many = repeated(condition, len(sigmas))
    output = output_of(pipeline, name, x, 1000 * sigmas, many)
    ours = denoiser(x, sigmas, many).image
    theirs = torch.cat([reached(own, output[i : i + 1], x[i : i + 1], i) for i in range(len(sigmas))])
    assert (ours - theirs).abs().max() < 1e-5


def reached(own: Any, output: torch.Tensor, x: torch.Tensor, step: int) -> torch.Tensor:
    """x0 as the scheduler reads it from the network's output: DPM-Solver++ says it, Euler steps to it."""
    if isinstance(own, diffusers.DPMSolverMultistepScheduler):
        own._step_index = step
        return own.convert_model_output(output, sample=x)
    euler = type(own).from_config(own.config, shift=1.0, use_dynamic_shifting=False)
    euler.set_timesteps(sigmas=[float(own.sigmas[step])])
    return euler.step(output, euler.timesteps[0], x).prev_sample


@torch.no_grad()
@pytest.mark.parametrize("name", ["sdxl", "stable-diffusion", "pixart", "sd3", "sana", "flux"])
def test_conditions_and_null_are_the_pipelines(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    _, condition = opened(name, pipeline_folder(name), tmp_path)
    pipeline = pipeline_of(pipeline_folder(name))
    null = condition.null
    assert null is not None and null.text is not None and condition.text is not None
    if name == "sdxl":
        text, none, pooled, none_pooled = pipeline.encode_prompt(
            PROMPTS, device="cpu", do_classifier_free_guidance=True
        )
        ids = pipeline._get_add_time_ids((16, 16), (0, 0), (16, 16), torch.float32, text_encoder_projection_dim=24)
        assert torch.equal(condition.time_ids, ids.expand(2, -1)) and torch.equal(condition.pooled, pooled)
        assert torch.equal(null.pooled, none_pooled[:1]) and not null.pooled.any() and not null.text.any()
    elif name == "pixart":
        text, mask, none, none_mask = pipeline.encode_prompt(PROMPTS, True, device="cpu")
        assert torch.equal(condition.mask, mask.float()) and torch.equal(null.mask, none_mask[:1].float())
    elif name == "sd3":
        text, none, pooled, none_pooled = pipeline.encode_prompt(PROMPTS, None, None, device="cpu")
        assert torch.equal(condition.pooled, pooled) and torch.allclose(null.pooled, none_pooled[:1], atol=1e-5)
    elif name == "sana":
        instruction = inspect.signature(pipeline.__call__).parameters["complex_human_instruction"].default
        assert "Enhanced prompt" in instruction[0]
        text, mask, none, none_mask = pipeline.encode_prompt(
            PROMPTS, True, device="cpu", complex_human_instruction=instruction
        )
        assert torch.equal(condition.mask, mask.float()) and torch.equal(null.mask, none_mask[:1].float())
    elif name == "flux":
        (text, pooled, _), (none, none_pooled, _) = (pipeline.encode_prompt(words) for words in (PROMPTS, ""))
        assert torch.equal(condition.pooled, pooled) and torch.allclose(null.pooled, none_pooled, atol=1e-5)
    else:
        text, none = pipeline.encode_prompt(PROMPTS, "cpu", 1, True)
    assert torch.equal(condition.text, text)
    # A batch of 1 and a batch of 2 may take another matrix kernel.
    assert torch.allclose(null.text, none[:1], atol=1e-5)
    dropped = condition.drop(torch.tensor([True, False]))
    assert torch.equal(dropped.text[0], null.text[0]) and torch.equal(dropped.text[1], condition.text[1])
    assert dropped.time_ids is condition.time_ids, "both branches have the size"


@pytest.mark.parametrize("name", MAKERS)
def test_features_alone_are_those_of_the_full_pass(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    denoiser, condition = opened(name, pipeline_folder(name), tmp_path)
    x = latents(denoiser, 2).requires_grad_()
    t = torch.tensor([0.3, 0.9]) if name in FLOWS else torch.tensor([300, 900])
    ran: list[bool] = []
    last = denoiser.network.unet.conv_out if hasattr(denoiser.network, "unet") else None
    if last is not None:
        last.register_forward_hook(lambda *extra: ran.append(True))
    both = denoiser(x, t, condition, X0 | FEATURES)
    passed = len(ran)
    alone = denoiser(x, t, condition, FEATURES)
    assert alone.x0 is None and both.features is not None and both.features.ndim == 4
    assert torch.equal(alone.features, both.features)
    assert torch.equal(both.image, denoiser(x, t, condition).image)
    assert last is None or (passed == 1 and len(ran) == 2), "the decoder must rest when only features are asked"
    alone.features.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_a_copy_keeps_its_features_to_itself(pipeline_folder: Folder, tmp_path: Path) -> None:
    import copy

    denoiser, condition = opened("stable-diffusion", pipeline_folder("stable-diffusion"), tmp_path)
    twin = copy.deepcopy(denoiser)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.1)
    x, t = latents(denoiser, 2), torch.tensor([300, 900])
    before = denoiser(x, t, condition, X0 | FEATURES).features
    assert not torch.allclose(twin(x, t, condition, X0 | FEATURES).features, before)
    assert torch.equal(denoiser(x, t, condition, X0 | FEATURES).features, before)


@pytest.mark.parametrize("name", MAKERS)
def test_build_makes_the_same_network_from_the_settings(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    import json

    denoiser, condition = opened(name, pipeline_folder(name), tmp_path)
    again = teachers()[denoiser.family].build(json.loads(json.dumps(denoiser.settings)))
    again.network.load_state_dict(denoiser.network.state_dict())
    t = torch.tensor([0.3, 0.9]) if name in FLOWS else torch.tensor([300, 900])
    x = latents(denoiser, 2)
    assert torch.equal(again.eval()(x, t, condition).image, denoiser(x, t, condition).image)


def test_the_same_network_in_sigma_is_entered_at_the_nearest_timestep(pipeline_folder: Folder, tmp_path: Path) -> None:
    """SIM-DiT's wrapper: where sigma is a level of the schedule, x0 is that of the plain network at that timestep."""
    plain, condition = opened("pixart", pipeline_folder("pixart"), tmp_path)
    wrapped = teachers()["pixart"].build({**plain.settings, "wrapper": "iddpm"})
    wrapped.network.inner.load_state_dict(plain.network.state_dict())
    assert wrapped.process.kind == "edm" and wrapped.process.sigma_max == pytest.approx(157.4, rel=1e-2)
    t = torch.tensor([100, 700])
    a, sigma = plain.process.coefficients(t)
    x = latents(plain, 2)
    ours = wrapped.eval()(x / a.float().reshape(-1, 1, 1, 1), (sigma / a).float() * 1.00001, condition).image
    theirs = plain(x, t, condition).image
    assert torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3)


def test_a_guidance_embedding_is_told_as_the_consistency_pipeline_tells_it() -> None:
    pipeline = diffusers.LatentConsistencyModelPipeline(
        **{
            **stable_diffusion(time_cond_proj_dim=8).components,
            "unet": unet(16, time_cond_proj_dim=8),
            "scheduler": diffusers.LCMScheduler(),
        },
        requires_safety_checker=False,
    )
    settings = {
        "network": dict(pipeline.unet.config),
        "scheduler": {"_class_name": "LCMScheduler"},
        "guidance_embedding": 8.5,
    }
    denoiser = teachers()["stable-diffusion"].build(settings).eval()
    denoiser.network.unet.load_state_dict(pipeline.unet.state_dict())
    x, t, text = torch.randn(2, 4, SIZE, SIZE), torch.tensor([259, 999]), torch.randn(2, 77, 16)
    extra = pipeline.get_guidance_scale_embedding(torch.full((2,), 7.5), embedding_dim=8)
    with torch.no_grad():
        theirs = pipeline.unet(x, t, text, timestep_cond=extra).sample
        ours, _ = denoiser.network(x, t, Condition(text=text), X0)
        other = pipeline.unet(x, t, text, timestep_cond=torch.zeros(2, 8)).sample
    # sine and cosine of up to 7500 in float32
    assert torch.allclose(ours, theirs, atol=1e-3) and not torch.allclose(ours, other, atol=1e-2)


@pytest.mark.parametrize("name", MAKERS)
def test_guidance_runs_both_branches_in_one_pass(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    denoiser, condition = opened(name, pipeline_folder(name), tmp_path)
    x = latents(denoiser, 2)
    t = torch.tensor([0.3, 0.9]) if name in FLOWS else torch.tensor([300, 900])
    with torch.no_grad():
        joint = guided(denoiser, x, t, condition, 3.0).image
        given = denoiser(x, t, condition).image
        without = denoiser(x, t, condition.unconditional()).image
    expected = without + 3 * (given - without)
    assert ((joint - expected).abs() / expected.abs().clamp_min(1)).max() < 1e-4
    assert not torch.allclose(given, without, atol=1e-3)


def test_the_large_pixart_is_told_size_and_aspect() -> None:
    """As its pipeline tells the 1024-pixel network: height and width in pixels, and height over width."""
    torch.manual_seed(0)
    config = pixart().transformer.config
    extra = {**config, "use_additional_conditions": True, "num_attention_heads": 3, "cross_attention_dim": 24}
    network = diffusers.PixArtTransformer2DModel.from_config(extra)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    x, t, text = torch.randn(2, 4, SIZE, SIZE // 2), torch.tensor([10, 900]), torch.randn(2, 7, 16)
    size = {"resolution": torch.tensor([[64.0, 32.0]] * 2), "aspect_ratio": torch.tensor([[2.0]] * 2)}
    other = {**size, "aspect_ratio": torch.tensor([[0.5]] * 2)}
    with torch.no_grad():
        theirs, wrong = (
            network(x, encoder_hidden_states=text, timestep=t, added_cond_kwargs=added, return_dict=False)[0][:, :4]
            for added in (size, other)
        )
        ours, _ = PixartNetwork(network)(x, t, Condition(text=text), X0)
    assert torch.equal(ours, theirs) and not torch.allclose(ours, wrong, atol=1e-3)


def test_flux_without_a_guidance_embedding_is_given_none() -> None:
    plain, guided_one = flux(guidance=False).transformer, flux().transformer
    with pytest.raises(Fault, match="no guidance embedding"):
        FluxNetwork(plain, 3.5)
    assert FluxNetwork(plain).scale is None and FluxNetwork(guided_one).scale == 3.5
    x, t = torch.randn(2, 4, SIZE, SIZE), torch.tensor([0.2, 0.9])
    given = Condition(text=torch.randn(2, 7, 24), pooled=torch.randn(2, 16))
    with torch.no_grad():
        assert FluxNetwork(plain)(x, t, given, X0)[0].shape == x.shape
        weak, strong = (FluxNetwork(guided_one, scale)(x, t, given, X0)[0] for scale in (1.0, 8.0))
    assert not torch.allclose(weak, strong, atol=1e-3)
    with pytest.raises(Fault, match="3 x 4 can't be packed"):
        FluxNetwork(plain)(x[:, :, :3, :4], t, given, X0)


def test_sd3_reads_as_many_tokens_as_it_is_told(pipeline_folder: Folder) -> None:
    """SiD-DiT's 77 of the T5 beside CLIP's 77; the embeddings of another length are other embeddings."""
    family = teachers()["sd3"]
    short = family.text_encoder(pipeline_folder("sd3"), tokens=77)
    usual = family.text_encoder(pipeline_folder("sd3"))
    assert short.encode(PROMPTS)["text"].shape[1] == 154 and usual.encode(PROMPTS)["text"].shape[1] == 77 + 256
    assert short.digest != usual.digest
    with pytest.raises(Fault, match="unknown setting of sdxl 'tokens'"):
        teachers()["sdxl"].text_encoder(pipeline_folder("sdxl"), tokens=77)
    for wrong in (0, 7.5, "77", True):
        with pytest.raises(Fault, match="must be a whole number above 0"):
            family.load(pipeline_folder("sd3"), tokens=wrong)
    with pytest.raises(Fault, match="guidance_embedding of flux must be a number"):
        teachers()["flux"].load(pipeline_folder("flux"), guidance_embedding="high")

"""Published generators: the shipped descriptions, and every kind of file on tiny models of the real layout.

Each opened generator is held against plain diffusers with the sampler its publishers name.
"""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
import yaml
from safetensors.torch import save_file

from benchmarks.run.released import open_released
from benchmarks.suite.components import teachers
from benchmarks.suite.released import RELEASED_DIR, Released, describe, released
from sid.condition import Condition
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.guidance import guided as guide
from sid.prompts import cache_prompts
from sid.teachers.latent.pixart_names import from_original
from tests.sid.teachers import tiny_pipelines as tiny

PROMPT = "a red cube"
SDXL, SD15 = "stabilityai/stable-diffusion-xl-base-1.0", "stable-diffusion-v1-5/stable-diffusion-v1-5"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny pipelines in the place of the published bases."""
    root = tmp_path_factory.mktemp("bases")
    return {SDXL: tiny.save("sdxl", root), SD15: tiny.save("stable-diffusion", root)}


def pipeline_with(base: Path, unet: Any = None) -> Any:
    pipeline = diffusers.DiffusionPipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)
    if unet is not None:
        pipeline.unet = unet
    return pipeline


def noise(count: int = 1) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(1, 4, tiny.SIZE, tiny.SIZE, generator=random) for _ in range(count)]


def condition_of(family: Any, base: Path, tmp_path: Path) -> Condition:
    ids = family.time_ids(2 * tiny.SIZE, 2 * tiny.SIZE)
    return cache_prompts(family.text_encoder(base), [PROMPT], tmp_path / "cache", "float32", ids).condition([0])


def near(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool(((ours - theirs).abs() / theirs.abs().clamp_min(1)).max() < 2e-5)


def ask(pipeline: Any, scheduler: Any, times: list[float], latents: torch.Tensor, seed: int | None = None) -> Any:
    """Plain diffusers. A seeded generator goes on after the first noise, as ours does."""
    pipeline.scheduler = scheduler
    random = torch.Generator().manual_seed(0)
    torch.randn(latents.shape, generator=random)
    options = {"guidance_scale": 0.0 if seed is None else 1.0, "output_type": "latent", "generator": random}
    return pipeline(PROMPT, timesteps=[int(time) for time in times], latents=latents.clone(), **options).images


def test_the_shipped_descriptions_are_whole() -> None:
    shipped = released()
    for start in ("sid-cifar10", "sid-lsg", "dmd2", "sim-dit", "sdxl-turbo", "sdxl-lightning", "hyper-sd"):
        assert any(name.startswith(start) for name in shipped), start
    for start in ("lcm-dream", "lcm-lora", "instaflow", "pcm", "sd-turbo"):
        assert any(name.startswith(start) for name in shipped), start
    for described in shipped.values():
        assert described.family in teachers() or described.lacks, described.name
        assert described.licence and described.paper
        assert described.confidence == "recalled" or described.sources, f"{described.name}: read where?"
    assert [describe(name).entrance for name in ("sid-lsg-sd15-1.5", "dmd2-sdxl-1step")] == ["sigma z", "unit noise"]
    assert describe("dmd2-sdxl-1step").times == (399.0,) and describe("sid-lsg-sd15-1.5").times == (625.0,)


def test_a_wrong_description_is_named_with_its_file(tmp_path: Path) -> None:
    good = yaml.safe_load((RELEASED_DIR / "sdxl-lightning-4step.yaml").read_text())
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**good, "name": "a", "times": [249, 999]}))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({**good, "name": "b", "base": None}))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**good, "name": "other"}))
    (tmp_path / "d.yaml").write_text(yaml.safe_dump({**good, "name": "d", "entrence": "sigma z"}))
    with pytest.raises(Fault) as caught:
        released(tmp_path)
    text = "\n".join(caught.value.sentences)
    assert all(word in text for word in ("a.yaml", "times must fall", "needs base", "called 'c'", "entrence"))
    with pytest.raises(UnknownName, match="did you mean 'sdxl-turbo-1step'"):
        describe("sdxl-turbo-1stp")


def test_a_whole_pipeline(bases: dict[str, Path], tmp_path: Path) -> None:
    """SDXL-Turbo in one step: Euler, trailing spacing, no guidance."""
    described = describe("sdxl-turbo-1step")
    opened = open_released(described, {"stabilityai/sdxl-turbo": bases[SDXL]})
    ours = opened.generator(noise(), condition_of(opened.family, bases[SDXL], tmp_path))
    pipeline = pipeline_with(bases[SDXL])
    euler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    assert near(ours, ask(pipeline, euler, [999], noise()[0]))


@pytest.mark.parametrize("name", ["sdxl-lightning-4step", "sdxl-lightning-1step", "dmd2-sdxl-4step", "dmd2-sdxl-1step"])
def test_one_networks_tensors(name: str, bases: dict[str, Path], tmp_path: Path) -> None:
    """float16 tensors, as safetensors or as a tensors-only torch file; x0 prediction; both entrances."""
    described = describe(name)
    assert described.repository and described.file
    unet = teachers()["sdxl"].load(bases[SDXL]).network.unet
    student = tiny.randomised(
        tiny.unet(
            40,
            9,
            projection_class_embeddings_input_dim=72,
            **dict(addition_embed_type="text_time", addition_time_embed_dim=8),
        ),
        9,
    )
    assert student.config.cross_attention_dim == unet.config.cross_attention_dim
    half = {key: value.half() for key, value in student.state_dict().items()}
    file = tmp_path / described.file
    if file.suffix == ".bin":
        torch.save(half, file)
    else:
        save_file(half, file)
    student.load_state_dict(half)
    opened = open_released(described, {described.repository: tmp_path, SDXL: bases[SDXL]})
    noises = noise(described.steps)
    ours = opened.generator(noises, condition_of(opened.family, bases[SDXL], tmp_path))
    pipeline = pipeline_with(bases[SDXL], student)
    config = dict(pipeline.scheduler.config)
    if "lightning" in name:
        options = {"prediction_type": "sample"} if described.prediction == "x0" else {}
        scheduler: Any = diffusers.EulerDiscreteScheduler.from_config(config, timestep_spacing="trailing", **options)
    else:
        scheduler = diffusers.LCMScheduler.from_config(config)
    assert near(ours, ask(pipeline, scheduler, list(described.times), noises[0]))


def test_a_published_pickle_of_a_unet(bases: dict[str, Path], tmp_path: Path) -> None:
    """SiD-LSG: the averaged network under 'ema', read without running anything, entered with sigma z at 625."""
    described = describe("sid-lsg-sd15-1.5")
    assert described.repository and described.file
    student = tiny.unet(16, 5)
    (tmp_path / described.file).write_bytes(pickle.dumps({"ema": student.eval()}))
    places = {described.repository: tmp_path, SD15: bases[SD15]}
    opened = open_released(described, places, tmp_path / "imports")
    ours = opened.generator(noise(), condition_of(opened.family, bases[SD15], tmp_path))
    pipeline = pipeline_with(bases[SD15], student)
    euler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    assert near(ours, ask(pipeline, euler, [625], noise()[0]))
    (written,) = (tmp_path / "imports").rglob("network.safetensors")
    (tmp_path / described.file).write_bytes(pickle.dumps({"ema": tiny.unet(16, 6).eval()}))
    with pytest.raises(Fault, match=written.parent.name):
        open_released(described, places, tmp_path / "imports")  # another file is not taken for the one that was read


@pytest.mark.parametrize("layout", ["peft", "kohya"])
@pytest.mark.parametrize("name", ["lcm-lora-sd15-4step", "hyper-sd15-4step"])
def test_adapters_over_a_base(name: str, layout: str, bases: dict[str, Path], tmp_path: Path) -> None:
    """Folded into the base as B A times alpha / rank, computed here by hand."""
    described = describe(name)
    assert described.repository and described.file
    unet = copy.deepcopy(teachers()["stable-diffusion"].load(bases[SD15]).network.unet)
    tensors = tiny.adapters(unet, layout)
    save_file(tensors, tmp_path / described.file)
    scale = 1.0 if layout == "peft" else 0.5
    down, up = ("lora_A", "lora_B") if layout == "peft" else ("lora_down", "lora_up")
    with torch.no_grad():
        for key, layer in unet.named_modules():
            plain = f"unet.{key}" if layout == "peft" else "lora_unet_" + key.replace(".", "_")
            if f"{plain}.{down}.weight" in tensors:
                layer.weight += scale * tensors[f"{plain}.{up}.weight"] @ tensors[f"{plain}.{down}.weight"]
    opened = open_released(described, {described.repository: tmp_path, SD15: bases[SD15]})
    noises = noise(4)
    ours = opened.generator(noises, condition_of(opened.family, bases[SD15], tmp_path))
    denoiser = copy.deepcopy(opened.generator)
    denoiser.denoiser.network.unet = unet
    theirs = denoiser(noises, condition_of(opened.family, bases[SD15], tmp_path))
    assert near(ours, theirs) and opened.generator.times == list(described.times)
    if name == "lcm-lora-sd15-4step":
        pipeline = pipeline_with(bases[SD15], unet)
        lcm = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
        assert near(ours, ask(pipeline, lcm, list(described.times), noises[0], seed=0))
        lcm.set_timesteps(4)
        assert lcm.timesteps.tolist() == list(described.times), "the times LCM's own scheduler chooses"
    else:
        pipeline = pipeline_with(bases[SD15], unet)
        assert pipeline.scheduler.config.set_alpha_to_one is False, "as SD 1.5's own config"
        options = {"timestep_spacing": "trailing", "clip_sample": False}
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **options)
        asked = {"guidance_scale": 1.0, "output_type": "latent", "num_inference_steps": 4}
        assert near(ours, pipeline(PROMPT, latents=noises[0].clone(), **asked).images)


def test_a_network_with_its_own_config(bases: dict[str, Path], tmp_path: Path) -> None:
    """LCM's U-Net has a guidance embedding that its base has not."""
    described = describe("lcm-sdxl-4step")
    assert described.repository
    text_time: dict[str, Any] = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    student = tiny.unet(40, 3, projection_class_embeddings_input_dim=72, time_cond_proj_dim=8, **text_time)
    student.save_pretrained(tmp_path)
    opened = open_released(described, {described.repository: tmp_path, SDXL: bases[SDXL]})
    noises = noise(4)
    ours = opened.generator(noises, condition_of(opened.family, bases[SDXL], tmp_path))
    pipeline = pipeline_with(bases[SDXL], student)
    pipeline.scheduler = diffusers.LCMScheduler.from_config(pipeline.scheduler.config)
    random = torch.Generator().manual_seed(0)
    torch.randn(noises[0].shape, generator=random)
    options = {
        "guidance_scale": described.guidance_embedding,
        "output_type": "latent",
        "generator": random,
        "num_inference_steps": 4,
    }
    theirs = pipeline(PROMPT, latents=noises[0].clone(), **options).images
    # The embedding takes sines of up to 7000, which float32 knows to 4e-4.
    assert ((ours - theirs).abs() / theirs.abs().clamp_min(1)).max() < 2e-2


def test_a_rectified_flow_over_sds_network(bases: dict[str, Path], tmp_path: Path) -> None:
    """InstaFlow in one step: image = z + v(z, 1000)."""
    described = describe("instaflow-0.9b")
    assert described.repository
    student = tiny.unet(16, 6)
    student.save_pretrained(tmp_path / "unet")
    opened = open_released(described, {described.repository: tmp_path, SD15: bases[SD15]})
    condition = condition_of(opened.family, bases[SD15], tmp_path)
    ours = opened.generator(noise(), condition)
    with torch.no_grad():
        theirs = noise()[0] + student(noise()[0], torch.tensor([1000.0]), condition.text).sample
    assert near(ours, theirs)


def test_a_published_edm_pickle(tmp_path: Path) -> None:
    from tests.sid.teachers.pickle_opcodes import module_tree, pickled
    from tests.sid.teachers.published_files import TINY

    described = describe("sid-cifar10-cond")
    assert described.repository and described.file
    denoiser = teachers()["edm"].build(TINY).eval()
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=random))
    arrays = {name: value.numpy() for name, value in denoiser.network.state_dict().items()}
    file = tmp_path / described.file
    file.parent.mkdir(parents=True)
    file.write_bytes(pickled({"ema": module_tree(arrays, "EDMPrecond", TINY)}))
    opened = open_released(described, {described.repository: tmp_path}, tmp_path / "imports")
    z, condition = torch.randn(2, 3, 16, 16), Condition(labels=torch.tensor([1, 7]))
    with torch.no_grad():
        theirs = denoiser(2.5 * z, torch.tensor([2.5, 2.5]), condition).image
    assert torch.allclose(opened.generator([z], condition), theirs, atol=1e-6) and opened.source is None


def test_pixarts_original_names(tmp_path: Path) -> None:
    """SIM-DiT: averaged tensors under 'ema', x0 = 2.5 z - 2.5 eps(2.5 z / sqrt(7.25), 440), as its script reads."""
    from tests.sid.teachers.test_pixart_names import original

    described = describe("sim-dit")
    assert described.repository and described.base
    base = tiny.save("pixart", tmp_path)
    positions = tiny.pixart().transformer.pos_embed.pos_embed
    tensors = {**original(), "pos_embed": positions}
    prefixed = {f"module.model.{name}": value for name, value in tensors.items()} | {"module.u": torch.zeros(1001)}
    torch.save({"ema": prefixed}, tmp_path / "sim.pth")
    opened = open_released(described, {described.repository: tmp_path, described.base: base})
    condition = condition_of(opened.family, base, tmp_path)
    ours = opened.generator(noise(), condition)
    transformer = tiny.pixart().transformer
    transformer.load_state_dict(from_original(tensors))
    inputs = {"encoder_hidden_states": condition.text, "encoder_attention_mask": condition.mask}
    size = {"resolution": None, "aspect_ratio": None}
    z = noise()[0]
    with torch.no_grad():
        entered = transformer(2.5 * z / 7.25**0.5, timestep=torch.tensor([440]), added_cond_kwargs=size, **inputs)
    assert near(ours, 2.5 * z - 2.5 * entered.sample[:, :4])


def test_guidance_of_sampling_runs_both_branches(bases: dict[str, Path], tmp_path: Path) -> None:
    plain = describe("sdxl-turbo-1step")
    guided = Released.model_validate({**plain.model_dump(), "guidance": 2.0})
    places = {"stabilityai/sdxl-turbo": bases[SDXL]}
    opened, other = open_released(plain, places), open_released(guided, places)
    condition = condition_of(opened.family, bases[SDXL], tmp_path)
    _, sigma = opened.generator.denoiser.process.coefficients(torch.tensor([999]))
    expected = guide(opened.generator.denoiser, sigma.float() * noise()[0], torch.tensor([999]), condition, 2.0).image
    assert near(other.generator(noise(), condition), expected)
    assert not near(opened.generator(noise(), condition), expected)


def test_the_loader_stays_a_reader() -> None:
    """Descriptions are read without torch."""
    import subprocess
    import sys

    code = "import sys\nfrom benchmarks.suite.released import released\nreleased()\nassert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0

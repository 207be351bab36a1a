"""Students in plain diffusers: the exported folder makes our sampler's image from the same noise."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import yaml

from benchmarks.suite.components import teachers
from sid.chain import Chain
from sid.export import Card, load_pretrained, render, save_pretrained
from sid.fault import Fault
from sid.generator import Generator
from sid.lora import Adapted, adapt
from sid.prompts import cache_prompts
from sid.sampling import to_uint8
from tests import toy
from tests.sid.teachers.tiny_pipelines import SIZE, family_of

Folder = Callable[[str], Path]
PROMPT = "a red cube on a blue table"  # the snippet's
CARD = Card("sid-lsg", "tiny/teacher", "0123456789ab", scores={"FID": 8.15}, prompts="one prompt")
CHAINS = {
    "one": Chain(),
    "ddim": Chain(steps=4, renoise="ddim"),
    "dmd2": Chain(t_init=999, unit_input=True),
    "fresh": Chain(steps=4),
    "entered": Chain(t_init=1.0),  # SiD-DiT's entrance
}


def student(name: str, folder: Path, chain: Chain) -> Generator:
    """Not the teacher: every weight is moved."""
    family = teachers()[family_of(name)]
    given = {"sample_size": SIZE, "guidance_embedding": 2.0} if name == "flux" else {}
    generator = Generator(copy.deepcopy(family.load(folder, **given)), chain).eval()
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=random))
    return generator


def ours(generator: Generator, name: str, folder: Path, noises: list[torch.Tensor], tmp_path: Path) -> torch.Tensor:
    family = teachers()[family_of(name)]
    encoder = family.text_encoder(folder)
    cache = cache_prompts(encoder, [PROMPT], tmp_path / "cache", "float32", family.time_ids(2 * SIZE, 2 * SIZE))
    with torch.no_grad():
        return generator(noises, cache.condition([0]))


def snippet_of(folder: Path) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    return code


@pytest.mark.parametrize(
    "name, chain",
    [
        ("stable-diffusion", "one"),
        ("stable-diffusion-v", "one"),
        ("sdxl", "one"),
        ("pixart", "one"),
        ("sd3", "one"),
        ("sana", "one"),
        ("sana", "entered"),
        ("flux", "one"),
        ("stable-diffusion", "ddim"),
        ("sdxl", "dmd2"),
    ],
)
def test_a_reloaded_student_makes_our_image(name: str, chain: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    """One step, or a chain that is deterministic given z: by the card's own snippet, in plain diffusers."""
    source = pipeline_folder(name)
    agrees(student(name, source, CHAINS[chain]), name, source, tmp_path)


def agrees(generator: Generator, name: str, source: Path, tmp_path: Path) -> Path:
    """The exported folder by the card's own snippet, latents and pixels."""
    folder = save_pretrained(generator, tmp_path / "student", CARD)
    world: dict[str, Any] = {}
    code = snippet_of(folder).replace("from_pretrained('student')", f"from_pretrained({str(folder)!r})")
    latent = code.replace(").images[0]", '    output_type="latent",\n).images')
    exec(latent, world)
    shape = (1, world["pipeline"].vae.config.latent_channels, SIZE, SIZE)
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mine = ours(generator, name, source, [z], tmp_path)
    scale, latents = mine.abs().clamp_min(1), world["image"]
    if name == "flux":
        latents = world["pipeline"]._unpack_latents(latents, 2 * SIZE, 2 * SIZE, 2)
    assert ((latents - mine).abs() / scale).max() < 1e-5
    exec("\n".join(line for line in code.splitlines() if "from_pretrained" not in line), world)
    theirs = np.asarray(world["image"]).transpose(2, 0, 1)
    pixels = to_uint8(teachers()[family_of(name)].decoder(source)(mine))[0].numpy()
    assert (theirs == pixels).mean() >= 0.999 and pixels.std() > 5
    return folder


@pytest.mark.parametrize("name", ["stable-diffusion", "pixart"])
def test_a_student_of_adapters_leaves_with_them_folded_in(name: str, pipeline_folder: Folder, tmp_path: Path) -> None:
    generator = student(name, pipeline_folder(name), CHAINS["one"])
    adapt(generator.denoiser, 4, 4.0, on=True)
    for layer in generator.modules():
        if isinstance(layer, Adapted):
            torch.nn.init.normal_(layer.up.weight, std=0.1)  # type: ignore[arg-type]
    folder = agrees(generator, name, pipeline_folder(name), tmp_path)
    part = teachers()[name].part  # type: ignore[attr-defined]
    index = json.loads((folder / "model_index.json").read_text())
    assert index[part][1] == json.loads((folder / part / "config.json").read_text())["_class_name"]
    assert any(isinstance(layer, Adapted) for layer in generator.modules()), "the student itself keeps them"


def test_a_published_folder_with_its_oddities(pipeline_folder: Folder, tmp_path: Path) -> None:
    """Other steps in its scheduler, a safety checker that nobody downloaded, betas left to the scheduler's class."""
    source = tmp_path / "source"
    shutil.copytree(pipeline_folder("stable-diffusion"), source)
    index = json.loads((source / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (source / "model_index.json").write_text(json.dumps(index))
    odd = {"_class_name": "LCMScheduler", "use_karras_sigmas": True, "steps_offset": 1}
    (source / "scheduler" / "scheduler_config.json").write_text(json.dumps(odd))
    generator = student("stable-diffusion", source, CHAINS["one"])
    expected = diffusers.LCMScheduler().alphas_cumprod
    assert torch.equal(generator.denoiser.process.alphas_cumprod, expected)  # type: ignore[attr-defined]
    folder = agrees(generator, "stable-diffusion", source, tmp_path)
    assert json.loads((folder / "model_index.json").read_text())["safety_checker"] == [None, None]


@pytest.mark.parametrize("width, short", [(768, "creativeml-openrail-m"), (1024, "openrail++"), (16, "other")])
def test_the_licence_is_that_of_the_weights(width: int, short: str) -> None:
    licence = teachers()["stable-diffusion"].licence_of({"network": {"cross_attention_dim": width}})
    assert f'license: "{short}"' in render(CARD, "student", licence, "diffusers", "", "")


def test_several_fresh_steps_by_the_cards_snippet(pipeline_folder: Folder, tmp_path: Path) -> None:
    """The scheduler draws its noise of steps 2 to 4 from the snippet's generator, after the snippet drew z."""
    source = pipeline_folder("stable-diffusion")
    generator = student("stable-diffusion", source, CHAINS["fresh"])
    assert generator.times == [625, 468, 312, 156]
    folder = save_pretrained(generator, tmp_path / "student", CARD)
    world: dict[str, Any] = {}
    code = snippet_of(folder).replace("from_pretrained('student')", f"from_pretrained({str(folder)!r})")
    exec(code.replace(").images[0]", '    output_type="latent",\n).images'), world)
    random = torch.Generator().manual_seed(0)
    noises = [torch.randn(1, 4, SIZE, SIZE, generator=random) for _ in range(4)]
    mine = ours(generator, "stable-diffusion", source, noises, tmp_path)
    assert (world["image"] - mine).abs().max() < 1e-4


def test_leading_spacing_is_another_picture(pipeline_folder: Folder, tmp_path: Path) -> None:
    """SD's published default enters the network with unit noise at 625: visibly not ours."""
    source = pipeline_folder("stable-diffusion")
    generator = student("stable-diffusion", source, CHAINS["one"])
    folder = save_pretrained(generator, tmp_path / "student", CARD)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(
        pipeline.scheduler.config, timestep_spacing="leading"
    )
    z = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    arguments = {"timesteps": [625], "guidance_scale": 1.0, "output_type": "latent"}
    wrong = pipeline(PROMPT, generator=torch.Generator().manual_seed(0), **arguments).images
    assert (wrong - ours(generator, "stable-diffusion", source, [z], tmp_path)).abs().max() > 0.05


def test_the_card_says_where_the_student_comes_from(pipeline_folder: Folder, tmp_path: Path) -> None:
    generator = student("sdxl", pipeline_folder("sdxl"), CHAINS["one"])
    folder = save_pretrained(generator, tmp_path / "student", CARD)
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["base_model"] == "tiny/teacher" and front["license"] == "openrail++"
    for fact in ("sid-lsg", "0123456789ab", "CreativeML Open RAIL++-M", "8.15", "625", "timesteps=[625]"):
        assert fact in text, fact
    assert not list(tmp_path.glob(".student*"))


def test_what_cannot_be_exported_is_said(pipeline_folder: Folder, tmp_path: Path) -> None:
    source = pipeline_folder("pixart")
    fixed = student("pixart", source, Chain(steps=2, renoise="fixed"))
    with pytest.raises(Fault, match="renoise fresh or ddim"):
        save_pretrained(fixed, tmp_path / "fixed", CARD)
    assert not (tmp_path / "fixed").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    with pytest.raises(Fault, match="is not empty"):
        save_pretrained(fixed, tmp_path / "full", CARD)
    wrapped = teachers()["pixart"].build({**fixed.denoiser.settings, "wrapper": "iddpm"})
    with pytest.raises(Fault, match="wrapper iddpm"):
        save_pretrained(Generator(wrapped), tmp_path / "wrapped", CARD)
    del fixed.denoiser.settings["source"]
    with pytest.raises(Fault, match="pipeline folder is needed"):
        save_pretrained(fixed, tmp_path / "fixed", CARD)


def test_a_half_export_leaves_the_student_as_it_was(pipeline_folder: Folder, tmp_path: Path) -> None:
    generator = student("stable-diffusion", pipeline_folder("stable-diffusion"), CHAINS["one"])
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    folder = save_pretrained(generator, tmp_path / "student", CARD, half=True)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    from safetensors.torch import load_file

    stored = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_a_pixel_student_round_trips_as_safetensors(tmp_path: Path) -> None:
    generator = Generator(toy.teacher(), Chain(t_init=2.5))
    folder = save_pretrained(generator, tmp_path / "student", Card("sid", "digits"))
    again = load_pretrained(folder)
    z = torch.randn(2, *toy.SHAPE)
    condition = toy.data().conditions.draw
    assert again.chain == generator.chain and "load_student('student')" in snippet_of(folder)
    from sid.draws import Draws

    labels = condition(Draws(0, 0, range(2)))
    assert torch.equal(again([z], labels), generator([z], labels))
    with pytest.raises(Fault, match="no exported student"):
        load_pretrained(tmp_path)


def test_a_lora_critic_in_plain_diffusers(pipeline_folder: Folder, tmp_path: Path) -> None:
    """Adapters of every linear and convolutional layer, of unequal ranks, by `load_lora_weights`."""
    from sid.lora import View
    from sid.teachers.latent.adapters import peft_tensors, write_adapters

    folder = pipeline_folder("stable-diffusion")
    denoiser = teachers()["stable-diffusion"].load(folder)
    with pytest.raises(Fault, match="no adapters"):
        peft_tensors(denoiser)
    with pytest.raises(Fault, match="reads no adapters for a PixArtTransformer2DModel"):
        peft_tensors(teachers()["pixart"].load(pipeline_folder("pixart")))
    torch.manual_seed(0)
    adapt(denoiser, 12, 6.0)
    ranks = set()
    for module in denoiser.modules():
        if isinstance(module, Adapted):
            torch.nn.init.normal_(module.up.weight, std=0.05)  # type: ignore[arg-type]
            ranks.add(module.up.weight.shape[1])  # type: ignore[union-attr,index]
    assert len(ranks) > 1, "small layers take a smaller rank"
    write_adapters(denoiser, tmp_path)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    text, t = torch.randn(2, 7, 16), torch.tensor([100, 900])
    x = torch.randn(2, 4, SIZE, SIZE)
    pipeline.load_lora_weights(tmp_path)
    from sid.condition import Condition

    with torch.no_grad():
        theirs = pipeline.unet(x, t, encoder_hidden_states=text).sample
        on, off = View(denoiser, True), View(denoiser, False)
        assert on(x, t, Condition(text=text)).x0 is not None
        ours, _ = denoiser.network(x, t, Condition(text=text), frozenset({"x0"}))
        off(x, t, Condition(text=text))
        plain, _ = denoiser.network(x, t, Condition(text=text), frozenset({"x0"}))
    assert (ours - theirs).abs().max() < 1e-5 and (ours - plain).abs().max() > 1e-2

"""A student as a diffusers pipeline folder, and the call that makes our sampler's image from the same noise."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault
from sid.generator import Generator
from sid.lora import merged_state
from sid.teachers.latent import folder as folders
from sid.teachers.latent.networks import SigmaInput
from sid.teachers.latent.schedule import completed

if TYPE_CHECKING:
    from sid.teachers.latent.family import LatentTeacher

# Settings of a published scheduler for its noise levels; with any of them it refuses `timesteps`.
OTHER_STEPS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "final_sigmas_type")


@dataclass(frozen=True)
class PipelineCall:
    """The scheduler and the pipeline's arguments that make the student's image in plain diffusers."""

    scheduler: str
    config: dict[str, Any]
    arguments: dict[str, Any]  # of the pipeline's call
    noise_scale: float | None = None  # the factor on unit noise in `latents`; None: the pipeline scales it
    shape: tuple[int, ...] = field(default=())
    packed: bool = False  # the pipeline takes packed latents


def call_of(generator: Generator, family: LatentTeacher, source: Path) -> PipelineCall:
    """The scheduler, its config and the arguments that are equivalent to the chain, for the pipeline in `source`."""
    chain, process, settings = generator.chain, generator.denoiser.process, generator.denoiser.settings
    whole = {**settings, "network": dict(network_of(generator).config)}
    shape = family.latent_shape(whole)
    arguments: dict[str, Any] = {"guidance_scale": 1.0, **family.call_arguments(whole, source)}
    if chain.renoise == "fixed" and chain.steps > 1:
        raise Fault("no diffusers scheduler renoises with a chain's first noise: export one with renoise fresh or ddim")
    if process.kind == "flow":
        return _flow_call(generator, arguments, shape, family.packed)
    stated = completed(settings["scheduler"])
    config = {key: value for key, value in stated.items() if not key.startswith("_") and key not in OTHER_STEPS}
    config["timestep_spacing"] = "trailing"
    arguments["timesteps"] = [int(time) for time in generator.times]
    _, sigma = process.coefficients(_times(generator))
    entered = 1.0 if chain.unit_input else float(sigma[0])
    if chain.renoise == "fresh" and (chain.steps > 1 or chain.unit_input):
        # LCM's scheduler starts from unit noise and adds fresh noise to x0, as these chains do.
        config |= {"clip_sample": False, "thresholding": False}
        return PipelineCall("LCMScheduler", config, arguments, entered, shape)
    # Euler's first sigma times z, scaled to the model's input, is sigma_t z: the chain's entrance. Leading spacing, the
    # published default, multiplies by sqrt(sigma^2 + 1) instead, which is another input.
    scale = None if not chain.unit_input else 1 / float(sigma[0])
    return PipelineCall("EulerDiscreteScheduler", config, arguments, scale, shape)


def _flow_call(generator: Generator, arguments: dict[str, Any], shape: tuple[int, ...], packed: bool) -> PipelineCall:
    chain = generator.chain
    arguments["sigmas"] = [float(time) for time in generator.times]
    config = {"shift": 1.0, "stochastic_sampling": chain.renoise == "fresh" and chain.steps > 1}
    scale = 1.0 if chain.unit_input else float(generator.times[0])
    return PipelineCall("FlowMatchEulerDiscreteScheduler", config, arguments, scale, shape, packed)


def _times(generator: Generator) -> Any:
    import torch

    return torch.tensor([int(time) for time in generator.times])


def network_of(generator: Generator) -> Any:
    """The diffusers network inside the denoiser's adapter."""
    adapter = generator.denoiser.network
    if isinstance(adapter, SigmaInput):
        raise Fault(
            "a student entered at a sigma between two timesteps (wrapper iddpm) has no exact call in diffusers: "
            "it can't be exported as a pipeline"
        )
    return getattr(adapter, "unet", None) or adapter.transformer


def write_pipeline(generator: Generator, family: LatentTeacher, source: Path, folder: Path, half: bool) -> PipelineCall:
    """Writes the teacher's pipeline with the student's network and scheduler into an empty folder.

    Args:
        generator: The student.
        family: Its family.
        source: The teacher's pipeline.
        folder: Of the student.
        half: Stores the network in float16.
    """
    import diffusers
    import torch

    teacher = family.check(source)
    call = call_of(generator, family, teacher)
    index = folders.read_json(teacher / "model_index.json")
    for part, named in index.items():
        if part in (family.part, "scheduler") or not isinstance(named, list) or named[0] is None:
            continue
        if (teacher / part).is_dir():
            shutil.copytree(teacher / part, folder / part)  # a cache's links become files
        else:
            index[part] = [None, None]  # a component that was not downloaded, such as a safety checker
    _plain(network_of(generator)).to(torch.float16 if half else torch.float32).save_pretrained(folder / family.part)
    getattr(diffusers, call.scheduler).from_config(call.config).save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", call.scheduler]
    index[family.part] = ["diffusers", family.network_class]
    index["_class_name"] = family.pipelines[0]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return call


def _plain(network: Any) -> Any:
    """A copy of the network in diffusers' own layout, with adapters folded in."""
    blank = type(network).from_config(network.config)
    blank.load_state_dict(merged_state(network))
    return blank


def snippet(call: PipelineCall, place: str) -> str:
    """Python lines that sample the exported student with diffusers alone; `place` is its folder."""
    arguments = [f"    {name}={value!r}," for name, value in call.arguments.items()]
    if call.noise_scale is None:
        noise = "generator = torch.Generator().manual_seed(0)"
        arguments.append("    generator=generator,")
    else:
        noise = (
            f"generator = torch.Generator().manual_seed(0)\nnoise = torch.randn(1, *{call.shape}, generator=generator)"
        )
        scaled = "noise" if call.noise_scale == 1 else f"{call.noise_scale!r} * noise"
        if call.packed:
            channels, height, width = call.shape
            scaled = f"pipeline._pack_latents({scaled}, 1, {channels}, {height}, {width})"
        arguments += [f"    latents={scaled},", "    generator=generator,"]
    lines = [
        "import torch",
        "from diffusers import DiffusionPipeline",
        "",
        f"pipeline = DiffusionPipeline.from_pretrained({place!r})",
        *noise.splitlines(),
        "image = pipeline(",
        '    "a red cube on a blue table",',
        *arguments,
        ").images[0]",
    ]
    return "\n".join(lines)

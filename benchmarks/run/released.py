"""Opens published generators: whatever kind of file one is in, it becomes a `Generator` at its published times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from benchmarks.data import prompts
from benchmarks.hardware import default_device
from benchmarks.run import embeddings
from benchmarks.suite import components
from benchmarks.suite.released import Released, locate_file
from sid.chain import Chain
from sid.condition import ClassLabels, Condition, Conditions, Unconditional
from sid.denoiser import Denoiser
from sid.fault import Fault
from sid.generator import Generator
from sid.guidance import GuidedDenoiser
from sid.noise import Flow, Process
from sid.prompts import PromptConditions, cache_prompts
from sid.teacher import Teacher
from sid.teachers.latent import folder as folders
from sid.teachers.latent.pixart_names import from_original

if TYPE_CHECKING:
    from benchmarks.suite.protocol import Protocol


TICKS = 1000  # a rectified flow over SD's network takes its time as 1000 t

Decode = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class OpenedGenerator:
    """A published generator, ready to sample."""

    generator: Generator
    family: Teacher
    source: Path | None = None  # the pipeline with its autoencoder and text encoders; None for pixel models


def open_released(
    described: Released, places: Mapping[str, Path] | None = None, imports: Path | None = None
) -> OpenedGenerator:
    """The generator with the models that decode and encode for it.

    Args:
        described: the shipped description.
        places: folders that stand for repositories; others are looked up in the cache.
        imports: where published pickles are written as safetensors, once; beside them where it is left out.
    """
    if described.lacks:
        raise Fault(f"{described.name} is described and cannot be opened here: {described.lacks}")
    places = places or {}
    openers: dict[str, Any] = {
        "pipeline": from_pipeline,
        "network": from_network,
        "lora": from_lora,
        "edm": from_edm,
    }
    return openers[described.kind](described, places, imports)


def from_pipeline(described: Released, places: Mapping[str, Path], imports: Path | None) -> OpenedGenerator:
    assert described.repository is not None
    place = place_of(described.repository, places)
    family = components.teachers()[described.family]
    return OpenedGenerator(generator_of(described, family.load(place)), family, place)


def from_network(described: Released, places: Mapping[str, Path], imports: Path | None) -> OpenedGenerator:
    """One file with the network's tensors: safetensors, a tensors-only torch file, or a published pickle."""
    from safetensors.torch import load_file

    assert described.repository and described.file and described.base
    file = locate_file(described.repository, described.file, places)
    if file.suffix == ".pkl":
        file = _imported(file, imports) / "network.safetensors"
    tensors = load_file(file) if file.suffix == ".safetensors" else _torch_file(file)
    tensors = _named(described, tensors, file)
    family, base = components.teachers()[described.family], place_of(described.base, places)
    denoiser = family.load(base, **({"wrapper": described.wrapper} if described.wrapper else {}))
    if described.names == "pixart":
        tensors = from_original(tensors, inside(denoiser.network).pos_embed.pos_embed)
    if described.config is not None:
        own = folders.read_json(locate_file(described.repository, described.config, places))
        denoiser = family.build({**denoiser.settings, "network": own})
    _fill(denoiser.network, tensors, file)
    return OpenedGenerator(generator_of(described, denoiser), family, base)


def from_lora(described: Released, places: Mapping[str, Path], imports: Path | None) -> OpenedGenerator:
    """Adapters, read and folded into the network by diffusers and peft, whichever of their layouts the file has."""
    import diffusers

    assert described.repository and described.file and described.base
    file = locate_file(described.repository, described.file, places)
    family, base = components.teachers()[described.family], place_of(described.base, places)
    denoiser = family.load(base)
    network = inside(denoiser.network)
    reader = {"stable-diffusion": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}.get(family.name)
    if reader is None:
        raise Fault(f"{described.name}: adapters of the family '{family.name}' are not read")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        tensors, alphas = getattr(diffusers, reader).lora_state_dict(str(file), unet_config=network.config)
        network.load_lora_adapter(tensors, prefix="unet", network_alphas=alphas, adapter_name="released")
        network.fuse_lora()
        network.unload_lora()
    except Exception as error:
        raise Fault(f"{file} holds no adapters of a {type(network).__name__}: {str(error).splitlines()[0]}") from None
    after = network.state_dict()
    if all(torch.equal(value, before[name]) for name, value in after.items() if name in before):
        raise Fault(f"{file} changes no weight of {described.base}: it holds no adapters of a {type(network).__name__}")
    return OpenedGenerator(generator_of(described, denoiser.eval().requires_grad_(False)), family, base)


def from_edm(described: Released, places: Mapping[str, Path], imports: Path | None) -> OpenedGenerator:
    assert described.repository and described.file
    folder = _imported(locate_file(described.repository, described.file, places), imports)
    family = components.teachers()[described.family]
    return OpenedGenerator(generator_of(described, family.load(folder)), family)


def place_of(repository: str, places: Mapping[str, Path]) -> Path:
    """The folder given for a repository, else its name, which the family looks up in the cache."""
    return Path(places.get(repository, Path(repository)))


def _imported(file: Path, imports: Path | None) -> Path:
    """The pickle as safetensors, by the restricted reader; written once beside it or under `imports`."""
    from sid.teachers.pickles.edm_pickle import digest_of, import_file

    folder = (imports or file.parent) / file.stem
    written = folders.read_json(folder / "teacher.json") if (folder / "network.safetensors").is_file() else {}
    if written.get("source", {}).get("sha256") != digest_of(file):  # another file of that name is refused by the import
        import_file(file, folder)
    return folder


def _torch_file(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Fault(f"{file} is no file of plain tensors: {why}") from None


def _named(described: Released, tensors: Any, file: Path) -> dict[str, Tensor]:
    """The file's tensors: those under `key`, with `prefix` taken from their names."""
    if described.key is not None:
        if not isinstance(tensors, Mapping) or described.key not in tensors:
            raise Fault(f"{file} has no '{described.key}' (expected a dictionary with the tensors under it)")
        tensors = tensors[described.key]
    if not isinstance(tensors, Mapping):
        raise Fault(f"{file} holds {type(tensors).__name__}, and names with tensors are expected")
    start = described.prefix
    return {str(name)[len(start) :]: value for name, value in tensors.items() if str(name).startswith(start)}


def _fill(adapter: nn.Module, tensors: Mapping[str, Any], file: Path) -> None:
    """The file's tensors into the diffusers network, cast to its type; a misfit is one sentence."""
    from sid.teachers.edm import mismatch

    network = inside(adapter)
    values = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    sentence = mismatch(values, network.state_dict())
    if sentence:
        raise Fault(f"{file} does not fit a {type(network).__name__} of its base: {sentence}")
    network.load_state_dict(values)


def inside(adapter: Any) -> Any:
    """The diffusers network in its adapter, within the wrapper to another process if there is one."""
    adapter = getattr(adapter, "inner", adapter)
    return getattr(adapter, "unet", None) or adapter.transformer


def generator_of(described: Released, denoiser: Denoiser) -> Generator:
    """The denoiser with the description's process, prediction, guidance, entrance and times."""
    network: Any = denoiser.network
    process: Process = denoiser.process
    prediction = denoiser.prediction if described.prediction == "own" else described.prediction
    if described.guidance_embedding is not None:
        network.guidance_embedding = described.guidance_embedding
    if prediction == "data-noise":
        network, prediction = DataMinusNoise(network), "flow"
    if described.process == "flow":
        process = Flow()
    built: Any = Denoiser(network, process, prediction, denoiser.family, denoiser.settings)
    if described.guidance != 1:
        built = GuidedDenoiser(built, described.guidance)
    unit = described.entrance == "unit noise"
    chain = Chain(described.steps, described.times[0], described.renoise, unit)
    return TimedGenerator(built, chain, tuple(described.times), described.ends).eval().requires_grad_(False)


class TimedGenerator(Generator):
    """A chain at the published times, which need not be evenly spaced."""

    def __init__(self, denoiser: Any, chain: Chain, times: tuple[float, ...], ends: float | None = None):
        super().__init__(denoiser, chain)
        self.published_times, self.ends = list(times), ends

    @property
    def times(self) -> list[float]:
        return self.published_times

    def _leave(self, x_t: Tensor, x0: Tensor, steps: int) -> Tensor:
        """With the noise that the publishers' sampler leaves: DDIM with set_alpha_to_one: false ends at time 0."""
        if self.ends is None:
            return x0
        process, last = self.denoiser.process, self._time(steps - 1, x_t)
        return process.add_noise(x0, process.eps_from_x0(x_t, x0, last), torch.full_like(last, self.ends)).to(x0.dtype)


class DataMinusNoise(nn.Module):
    """A rectified flow that predicts data - noise at 1000 t (InstaFlow), as one that predicts noise - data at t."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Any:
        output, features = self.inner(x, TICKS * time, condition, want)
        return (None if output is None else -output), features


def data_and_decoder(
    opened: OpenedGenerator, described: Released, protocol: Protocol, state: Path
) -> tuple[Conditions, tuple[int, ...], Decode | None, embeddings.Captions | None]:
    """(conditions, shape of a sample, decoder, captions) for the protocol's images."""
    family: Any = opened.family
    if opened.source is None:
        settings = opened.generator.denoiser.settings or {}
        classes = int(settings.get("label_dim") or 0)
        shape = (settings["img_channels"], settings["img_resolution"], settings["img_resolution"])
        return (ClassLabels(torch.arange(classes)) if classes else Unconditional()), shape, None, None
    if protocol.prompts is None:
        raise Fault(f"{described.name} reads text, and the protocol {protocol.name} has no prompts")
    device = default_device()
    decoder = family.decoder(opened.source).to(device)
    encoder = family.text_encoder(opened.source, described.tokens).to(device)
    captions = prompts.prompt_list(protocol.prompts)
    time_ids = family.time_ids(described.resolution, described.resolution)
    cache = cache_prompts(encoder, captions, state / "prompts", "bfloat16", time_ids)
    conditions = PromptConditions(cache, "index")
    shape = decoder.sample_shape(described.resolution)
    return conditions, shape, decoder, embeddings.Captions(captions, conditions)

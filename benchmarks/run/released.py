"""Opening published generators: each kind of file becomes the same thing, a generator with its own times."""

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
from sid.denoiser import X0, Denoiser, Prediction
from sid.fault import Fault
from sid.generator import Generator
from sid.guidance import guided
from sid.noise import Flow, Process
from sid.prompts import PromptConditions, cache_prompts
from sid.teacher import Teacher
from sid.teachers.latent import folder as folders
from sid.teachers.latent.pixart_names import from_original

if TYPE_CHECKING:
    from benchmarks.suite.protocol import Protocol
    from benchmarks.suite.released import Released


def open_released(described: Released, places: Mapping[str, Path] | None = None, imports: Path | None = None) -> Opened:
    """The generator with what decodes and encodes for it. `places` are folders that stand for repositories.

    `imports` is where published pickles are written as safetensors, once.
    """

    places = places or {}
    openers: dict[str, Any] = {
        "pipeline": from_pipeline,
        "network": from_network,
        "lora": from_lora,
        "edm": from_edm,
    }
    return openers[described.kind](described, places, imports)


TICKS = 1000  # what a rectified flow over SD's network is told: 1000 t


@dataclass(frozen=True)
class Opened:
    """A published generator, ready to sample."""

    generator: Generator
    family: Teacher
    source: Path | None = None  # the pipeline with its autoencoder and text encoders; None for pixel models


class TimedGenerator(Generator):
    """A chain at the published times, which need not be evenly spaced."""

    def __init__(self, denoiser: Any, chain: Chain, times: tuple[float, ...], ends: float | None = None):
        super().__init__(denoiser, chain)
        self.published_times, self.ends = list(times), ends

    @property
    def times(self) -> list[float]:
        return self.published_times

    def _leave(self, x_t: Tensor, x0: Tensor, steps: int) -> Tensor:
        """With the noise that the publishers' sampler leaves: DDIM, told set_alpha_to_one: false, ends at time 0."""
        if self.ends is None:
            return x0
        process, last = self.denoiser.process, self._time(steps - 1, x_t)
        return process.add_noise(x0, process.eps_from_x0(x_t, x0, last), torch.full_like(last, self.ends)).to(x0.dtype)


class GuidedDenoiser(nn.Module):
    """A denoiser under classifier-free guidance, for generators that were published with a scale."""

    def __init__(self, denoiser: Denoiser, kappa: float):
        super().__init__()
        self.denoiser, self.kappa, self.process = denoiser, kappa, denoiser.process
        self.family, self.settings, self.prediction = denoiser.family, denoiser.settings, denoiser.prediction

    def forward(self, x_t: Tensor, t: Tensor, condition: Condition | None = None, want: Any = X0) -> Prediction:
        return guided(self.denoiser, x_t, t, condition or Condition(), self.kappa, frozenset(want))


class DataMinusNoise(nn.Module):
    """A rectified flow that answers data - noise and is told 1000 t (InstaFlow), as one that answers noise - data."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Any:
        output, features = self.inner(x, TICKS * time, condition, want)
        return (None if output is None else -output), features


def place_of(repository: str, places: Mapping[str, Path]) -> Path:
    """The folder that stands for a repository, else its name, which the family looks up in the cache."""
    return Path(places.get(repository, Path(repository)))


def from_pipeline(described: Released, places: Mapping[str, Path], imports: Path | None) -> Opened:
    assert described.repository is not None
    place = place_of(described.repository, places)
    family = components.teachers()[described.family]
    return Opened(generator_of(described, family.load(place)), family, place)


def from_network(described: Released, places: Mapping[str, Path], imports: Path | None) -> Opened:
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
    return Opened(generator_of(described, denoiser), family, base)


def _torch_file(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Fault(f"{file} is no file of plain tensors: {why}") from None


def _named(described: Released, tensors: Any, file: Path) -> dict[str, Tensor]:
    """The file's tensors, without what stands around and before them."""
    if described.key is not None:
        if not isinstance(tensors, Mapping) or described.key not in tensors:
            raise Fault(f"{file} has no '{described.key}' (expected a dictionary with the tensors under it)")
        tensors = tensors[described.key]
    if not isinstance(tensors, Mapping):
        raise Fault(f"{file} holds {type(tensors).__name__}, and names with tensors are expected")
    start = described.prefix
    return {str(name)[len(start) :]: value for name, value in tensors.items() if str(name).startswith(start)}


def from_lora(described: Released, places: Mapping[str, Path], imports: Path | None) -> Opened:
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
        found = getattr(diffusers, reader).lora_state_dict(str(file), unet_config=network.config)
        network.load_lora_adapter(found[0], prefix="unet", network_alphas=found[1], adapter_name="released")
        network.fuse_lora()
        network.unload_lora()
    except Exception as error:
        raise Fault(f"{file} holds no adapters of a {type(network).__name__}: {str(error).splitlines()[0]}") from None
    after = network.state_dict()
    if all(torch.equal(value, before[name]) for name, value in after.items() if name in before):
        raise Fault(f"{file} changes no weight of {described.base}: it holds no adapters of a {type(network).__name__}")
    return Opened(generator_of(described, denoiser.eval().requires_grad_(False)), family, base)


def from_edm(described: Released, places: Mapping[str, Path], imports: Path | None) -> Opened:
    assert described.repository and described.file
    folder = _imported(locate_file(described.repository, described.file, places), imports)
    family = components.teachers()[described.family]
    return Opened(generator_of(described, family.load(folder)), family)


def inside(adapter: Any) -> Any:
    """The diffusers network in its adapter, within the wrapper to another process if there is one."""
    adapter = getattr(adapter, "inner", adapter)
    return getattr(adapter, "unet", None) or adapter.transformer


def _imported(file: Path, imports: Path | None) -> Path:
    """The pickle as safetensors, by the restricted reader; written once beside it or under `imports`."""
    from sid.teachers.pickles.edm_pickle import digest_of, import_file

    folder = (imports or file.parent) / file.stem
    written = folders.read_json(folder / "teacher.json") if (folder / "network.safetensors").is_file() else {}
    if written.get("source", {}).get("sha256") != digest_of(file):  # another file of that name is refused by the import
        import_file(file, folder)
    return folder


def _fill(adapter: nn.Module, tensors: Mapping[str, Any], file: Path) -> None:
    """The file's tensors into the diffusers network, widened to its type; a misfit is one sentence."""
    from sid.teachers.edm import mismatch

    network = inside(adapter)
    held = {name: value for name, value in tensors.items() if isinstance(value, Tensor)}
    sentence = mismatch(held, network.state_dict())
    if sentence:
        raise Fault(f"{file} does not fit a {type(network).__name__} of its base: {sentence}")
    network.load_state_dict(held)


def generator_of(described: Released, denoiser: Denoiser) -> Generator:
    """The denoiser entered as the description says."""
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


Decode = Callable[[torch.Tensor], torch.Tensor]


def data_and_decoder(
    opened: Opened, described: Released, protocol: Protocol, state: Path
) -> tuple[Conditions, tuple[int, ...], Decode | None, embeddings.Captions | None]:
    """(conditions, shape of what it makes, decoder, captions) for the protocol's images."""
    family: Any = opened.family
    if opened.source is None:
        settings = opened.generator.denoiser.settings or {}
        classes = int(settings.get("label_dim") or 0)
        shape = (settings["img_channels"], settings["img_resolution"], settings["img_resolution"])
        return (ClassLabels(torch.arange(classes)) if classes else Unconditional()), shape, None, None
    if protocol.prompts is None:
        raise Fault(f"{described.name} reads text, and the protocol {protocol.name} has no prompts")
    decoder = family.decoder(opened.source).to(default_device())
    listed = prompts.prompt_list(protocol.prompts)
    told = family.time_ids(described.resolution, described.resolution)
    cache = cache_prompts(
        family.text_encoder(opened.source).to(default_device()), listed, state / "prompts", "bfloat16", told
    )
    conditions = PromptConditions(cache, "index")
    shape = decoder.sample_shape(described.resolution)
    return conditions, shape, decoder, embeddings.Captions(listed, conditions)

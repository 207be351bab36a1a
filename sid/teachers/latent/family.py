"""The base of latent text-to-image families: build, load, text encoders, autoencoder, export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import UnknownName
from sid.fault import Fault
from sid.teacher import Teacher
from sid.teachers.latent import folder as folders

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sid.condition import Condition
    from sid.denoiser import Denoiser
    from sid.generator import Generator
    from sid.teachers.latent.decoder import Decoder
    from sid.teachers.latent.text import Encoded, TextEncoder

SETTINGS = ("network", "scheduler", "source", "weights")  # of every family, beside its own of `given`


class LatentTeacher(Teacher):
    """A diffusers pipeline as a teacher. Settings:

    `network` and `scheduler` are the configs of these two components; `source` is the folder of the pipeline; `weights`
    is the dtype that its files store. A family takes those of `given` too, which no file of a pipeline holds:
    `guidance_embedding` is the scale for a network with a guidance embedding (LCM, FLUX), `tokens` takes the place of
    `max_tokens`, `wrapper` and `sample_size` are PixArt's and FLUX's.

    A family defines the class variables below and `adapter`, and `embed` where its pipeline gives more than the text.
    """

    text = True
    features = True
    library = "diffusers"
    pipelines: ClassVar[tuple[str, ...]]  # class names of model_index.json; a student is exported as the first
    part: ClassVar[str]  # "unet" | "transformer"
    network_class: ClassVar[str]
    former_config: ClassVar[Mapping[str, str]] = {}  # entries by which older folders name the same class
    unused: ClassVar[tuple[str, ...]] = ()  # tensors of published files that the network does not have
    encoders: ClassVar[tuple[tuple[str, str], ...]]  # (tokenizer, text encoder) components
    optional: ClassVar[tuple[str, ...]] = ()  # text encoders a published folder may leave out
    null_rule: ClassVar[str]  # "prompt": the empty prompt encoded | "zeros"
    max_tokens: ClassVar[int | None] = None  # of the encoder whose length the pipeline sets; None: each has its own
    autoencoder: ClassVar[str] = "AutoencoderKL"
    packed: ClassVar[bool] = False  # its pipeline takes packed latents
    pooled: ClassVar[bool] = False  # its network reads a pooled embedding beside the text

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        """The diffusers network behind the denoiser's call: network(x, time, condition, want)."""
        raise AssertionError(f"{self.name} defines no adapter")

    def setting_faults(self, settings: Mapping[str, Any]) -> dict[str, str]:
        faults = super().setting_faults(settings)
        for key in ("tokens", "sample_size"):
            if key in settings and (type(settings[key]) is not int or settings[key] < 1):
                what = f"{key} of {self.name} must be a whole number above 0 (got {settings[key]!r})"
                faults.setdefault(key, what)
        scale = settings.get("guidance_embedding")
        if scale is not None and type(scale) not in (int, float):
            what = f"guidance_embedding of {self.name} must be a number (got {scale!r})"
            faults.setdefault("guidance_embedding", what)
        return faults

    def build(self, settings: dict[str, Any]) -> Denoiser:
        for key in settings:
            if key not in (*SETTINGS, *self.given):
                raise UnknownName(f"setting of {self.name}", key, (*SETTINGS, *self.given))
        for needed in ("network", "scheduler"):
            if not isinstance(settings.get(needed), dict):
                raise Fault(f"{self.name} needs the setting {needed}: the config of the pipeline's {needed}")
        from sid.teachers.latent.schedule import prediction_of

        prediction_of(settings["scheduler"])  # checked before the network is made
        return self._wrapped(self._class().from_config(dict(settings["network"])), settings)

    def load(self, folder: Path, **given: Any) -> Denoiser:
        """The denoiser of the folder's pipeline. `given` are settings that its files do not hold."""
        from sid.teachers.latent.loading import load_network

        if faults := self.setting_faults(given):
            raise Fault(list(faults.values()))
        pipeline = self.check(folder)
        network, stored = load_network(self._class(), pipeline / self.part, self.unused)
        settings = {
            "network": plain(network.config),
            "scheduler": folders.read_json(pipeline / "scheduler" / "scheduler_config.json"),
            "source": str(folder),
            "weights": stored,
            **given,
        }
        return self._wrapped(network, settings).eval().requires_grad_(False)

    def check(self, folder: Path | str) -> Path:
        """The pipeline's folder; a Fault unless it is this family's and has network and scheduler."""
        pipeline = folders.locate(folder)
        folders.check_index(pipeline, self.name, self.pipelines)
        inside = folders.check_component(pipeline, self.part, f"a {self.network_class}")
        config = folders.read_json(inside / "config.json")
        named = config.get("_class_name", self.network_class)
        former = bool(self.former_config) and self.former_config.items() <= config.items()
        if named != self.network_class and not former:
            raise Fault(f"{inside} is a {named}, and the family '{self.name}' expects a {self.network_class}")
        folders.check_component(pipeline, "scheduler", "a noise schedule", weights=False)
        return pipeline

    def text_encoder(self, folder: Path | str, tokens: int | None = None) -> TextEncoder:
        """The pipeline's own text encoders, without its network; `tokens` takes the place of `max_tokens`."""
        from sid.teachers.latent.text import open_encoder

        if tokens is not None and (faults := self.setting_faults({"tokens": tokens})):
            raise Fault(list(faults.values()))
        return open_encoder(self, self.check(folder), tokens or self.max_tokens)

    def embed(
        self, pipeline: Any, prompts: list[str], tokens: int | None, options: dict[str, Any], null: bool
    ) -> Encoded:
        """The embeddings by the pipeline's own `encode_prompt`, as its call makes them.

        Args:
            pipeline: Of the family's first class, with its text encoders alone.
            prompts: One row each.
            tokens: Of the encoder whose length the pipeline sets.
            options: Of `encode_prompt`: the device, one image a prompt.
            null: The prompt is the empty one that stands for no condition.
        """
        return {"text": pipeline.encode_prompt(prompts, do_classifier_free_guidance=False, **options)[0]}

    def longest(self, tokenizer: str, tokens: int | None) -> int | None:
        """The longest prompt that is not cut, in the tokenizer's tokens; None: as its text encoder's config says."""
        return None

    def text_width(self, widths: Mapping[str, int]) -> int | None:
        """The width of the embeddings from those of the encoders by name; None if none of them decides it."""
        return sum(widths.values())

    def decoder(self, folder: Path | str) -> Decoder:
        """From this family's latents to images in [-1, 1]."""
        from sid.teachers.latent.decoder import Decoder

        return Decoder.open(
            folders.check_component(self.check(folder), "vae", f"an {self.autoencoder}"), self.autoencoder
        )

    def latent_shape(self, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """Of the latents at the size that the network was made for."""
        network = settings["network"]
        return (network["in_channels"], network["sample_size"], network["sample_size"])

    def call_arguments(self, settings: Mapping[str, Any], source: Path) -> dict[str, Any]:
        """Further arguments of the pipeline's call that make an image as our sampler does; `source` is its folder."""
        return {}

    def sample(
        self, denoiser: Denoiser, z: Tensor, condition: Condition, steps: int, kappa: float, sampler: str
    ) -> Tensor:
        from sid.teachers.latent.samplers import scheduled

        return scheduled(denoiser, z, condition, steps, kappa, sampler)

    def write_student(
        self,
        generator: Generator,
        folder: Path,
        title: str,
        facts: dict[str, Any],
        source: Path | str | None,
        half: bool,
    ) -> str:
        from sid.teachers.latent.pipeline import snippet, write_pipeline

        place = source if source is not None else (generator.denoiser.settings or {}).get("source")
        if place is None:
            raise Fault(
                "the teacher's pipeline folder is needed: its autoencoder and text encoders go with the student "
                "(a teacher that was trained on the spot, as the miniature's, has none)"
            )
        return snippet(write_pipeline(generator, self, Path(place), folder, half), title)

    def time_ids(self, height: int, width: int) -> list[int] | None:
        """The network's micro-conditioning for an image of this size in pixels; None where it has none."""
        return None

    def _class(self) -> Any:
        import diffusers

        return getattr(diffusers, self.network_class)

    def _wrapped(self, network: nn.Module, settings: dict[str, Any]) -> Denoiser:
        from sid.denoiser import Denoiser
        from sid.teachers.latent.schedule import prediction_of, process_of

        described = dict(settings)
        process, prediction = process_of(described["scheduler"]), prediction_of(described["scheduler"])
        return Denoiser(self.adapter(network, described), process, prediction, self.name, described)


def plain(config: Any) -> dict[str, Any]:
    """A diffusers config without the keys that record where it was read from."""
    return {key: value for key, value in dict(config).items() if key not in ("_name_or_path", "_use_default_values")}

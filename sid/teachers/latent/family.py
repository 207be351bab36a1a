"""What the latent text-to-image families share: build, load, text encoders, autoencoder. Imports no torch early."""

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
    from sid.teachers.latent.text import TextEncoder

TOLD = ("guidance_embedding", "wrapper")
SETTINGS = ("network", "scheduler", "source", "weights", *TOLD)


class LatentTeacher(Teacher):
    """A diffusers pipeline as a teacher. Settings:

    `network` and `scheduler` are the two components' own configs; `source` is where the rest of the pipeline lies;
    `weights` says how the files store them; `guidance_embedding` is the scale a network with a guidance embedding
    (LCM) is told.
    """

    text = True
    features = True
    library = "diffusers"
    pipelines: ClassVar[tuple[str, ...]]  # class names of model_index.json, the first is the one exported
    part: ClassVar[str]  # "unet" | "transformer"
    network_class: ClassVar[str]
    former_config: ClassVar[Mapping[str, str]] = {}  # how older folders name the same class
    unused: ClassVar[tuple[str, ...]] = ()  # tensors of published files that the network has no place for
    encoders: ClassVar[tuple[tuple[str, str], ...]]  # (tokenizer, text encoder) components
    optional: ClassVar[tuple[str, ...]] = ()  # text encoders a published folder may leave out
    null_rule: ClassVar[str]  # "prompt": the empty prompt encoded | "zeros"
    max_tokens: ClassVar[int | None] = None  # None: the tokenizer's own limit

    def adapter(self, network: nn.Module, settings: dict[str, Any]) -> nn.Module:
        """The diffusers network under the denoiser's call."""
        raise AssertionError(f"{self.name} defines no adapter")

    def build(self, settings: dict[str, Any]) -> Denoiser:
        for key in settings:
            if key not in SETTINGS:
                raise UnknownName(f"setting of {self.name}", key, SETTINGS)
        for needed in ("network", "scheduler"):
            if not isinstance(settings.get(needed), dict):
                raise Fault(f"{self.name} needs the setting {needed}: the config of the pipeline's {needed}")
        from sid.teachers.latent.schedule import prediction_of

        prediction_of(settings["scheduler"])  # a fault here costs no network
        return self._wrapped(self._class().from_config(dict(settings["network"])), settings)

    def load(self, folder: Path, **told: Any) -> Denoiser:
        """The folder's pipeline; `told` are settings that its files do not hold (`wrapper`, `guidance_embedding`)."""
        from sid.teachers.latent.loading import load_network

        for key in told:
            if key not in TOLD:
                raise UnknownName(f"setting of {self.name}", key, TOLD)
        found = self.check(folder)
        network, stored = load_network(self._class(), found / self.part, self.unused)
        settings = {
            "network": plain(network.config),
            "scheduler": folders.read_json(found / "scheduler" / "scheduler_config.json"),
            "source": str(folder),
            "weights": stored,
            **told,
        }
        return self._wrapped(network, settings).eval().requires_grad_(False)

    def check(self, folder: Path | str) -> Path:
        """The folder of a pipeline of this family with its network and scheduler, or a Fault."""
        found = folders.locate(folder)
        folders.check_index(found, self.name, self.pipelines)
        inside = folders.check_component(found, self.part, f"a {self.network_class}")
        config = folders.read_json(inside / "config.json")
        named = config.get("_class_name", self.network_class)
        former = bool(self.former_config) and self.former_config.items() <= config.items()
        if named != self.network_class and not former:
            raise Fault(f"{inside} is a {named}, and the family '{self.name}' expects a {self.network_class}")
        folders.check_component(found, "scheduler", "a noise schedule", weights=False)
        return found

    def text_encoder(self, folder: Path | str) -> TextEncoder:
        """The pipeline's own text encoders, without its network."""
        from sid.teachers.latent.text import open_encoder

        return open_encoder(self, self.check(folder))

    def decoder(self, folder: Path | str) -> Decoder:
        """From this family's latents to images in [-1, 1]."""
        from sid.teachers.latent.decoder import Decoder

        found = self.check(folder)
        return Decoder.open(folders.check_component(found, "vae", "an AutoencoderKL"))

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
        """What the network is told of the picture's size in pixels; None where it is told nothing."""
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
    """A diffusers config without the traces of where it was read from."""
    return {key: value for key, value in dict(config).items() if key not in ("_name_or_path", "_use_default_values")}

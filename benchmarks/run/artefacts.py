"""Opens what earlier jobs made: teachers, generators, pairs, and the data behind them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.assets import sha256
from benchmarks.data.open import open_dataset
from benchmarks.hardware import default_device
from benchmarks.suite import components
from benchmarks.suite.checks import facts_of
from sid import generator
from sid.condition import ClassLabels, Condition, Conditions, Unconditional
from sid.discovery import UnknownName
from sid.draws import Draws
from sid.fault import Fault, parsed
from sid.generator import Generator
from sid.loop.settings import Data
from sid.method import TeacherFacts
from sid.prompts import PromptCache, PromptConditions
from sid.teachers.edm import fill
from sid.teachers.latent.folder import weight_files

if TYPE_CHECKING:
    from benchmarks.data.base import Dataset
    from benchmarks.run.latents import EncodedPairs
    from sid.denoiser import Denoiser
    from sid.teachers.latent.decoder import Decoder


CAPTIONS = "captions"  # subfolder of a cache of latents with the captions' embeddings


# The types of what describes a teacher.
KINDS = {"family": str, "data": str | None, "conditional": bool, "source": str | None, "resolution": int | None}
LARGEST = 2**14  # of a size in a network; the largest of a published one has a quarter


def _too_large(value: Any) -> int | None:
    """A whole number somewhere in the settings that is no size of anything."""
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    if isinstance(value, int) and abs(value) > LARGEST:
        return value
    return next((number for part in parts if (number := _too_large(part)) is not None), None)


@contextlib.contextmanager
def _described_by(path: Path) -> Iterator[None]:
    """Turns what building and filling a network raises, where its description is none, into a Fault."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise Fault(f"{path} describes no network that its weights fit ({why}): a file there is damaged") from error


def described_in(folder: Path, name: str) -> dict:
    """The JSON file `name` of the folder; a Fault where there is none."""
    try:
        described = parsed((folder / name).read_text())
    except OSError:
        raise Fault(f"{folder} holds no {name}: it is no folder that sidbench made") from None
    except (ValueError, RecursionError):
        raise Fault(f"{folder / name} is no JSON: the file is damaged") from None
    if not isinstance(described, dict):
        raise Fault(f"{folder / name} holds no table: the file is damaged")
    return described


@dataclass(frozen=True)
class Origin:
    """The teacher's facts in teacher.json, or in a generator's description."""

    family: str
    data: str | None
    conditional: bool
    source: str | None = None  # of a published model
    settings: Mapping[str, Any] = field(default_factory=dict)
    resolution: int | None = None
    dropout: float = 0.0
    own: Mapping[str, Any] = field(default_factory=dict)  # settings of a published model's family

    @classmethod
    def of(cls, folder: Path, name: str = "teacher.json") -> Origin:
        described = described_in(folder, name)
        try:
            origin = cls(**{entry.name: described[entry.name] for entry in fields(cls) if entry.name in described})
        except TypeError:
            raise Fault(f"{folder / name} lacks family, data or conditional: the file is damaged") from None
        if wrong := [key for key, kinds in KINDS.items() if not isinstance(getattr(origin, key), kinds)]:
            raise Fault(f"{folder / name}: {wrong[0]} can't be {getattr(origin, wrong[0])!r}: the file is damaged")
        if origin.family not in (known := components.teachers()):
            raise UnknownName(f"teacher family in {folder / name}", origin.family, known)
        if not isinstance(origin.settings, Mapping) or not isinstance(origin.own, Mapping):
            raise Fault(f"{folder / name} holds settings that are no table: the file is damaged")
        if (number := _too_large(origin.settings)) is not None:
            raise Fault(f"{folder / name}: {number:,} is no size in a network: the file is damaged")
        return origin

    @property
    def dataset(self) -> Dataset:
        """The data it was trained on; a Fault where none is named."""
        if self.data is None:
            raise Fault(f"the teacher of the family {self.family} names no data set, so there are no real images")
        return open_dataset(self.data)

    @property
    def text(self) -> bool:
        return components.teachers()[self.family].text

    @property
    def of_text(self) -> dict[str, Any]:
        """The settings that the text encoders of a published model read; a generator has its teacher's."""
        return {key: value for key, value in {**self.settings, **self.own}.items() if key == "tokens"}

    @property
    def label(self) -> str:
        """The name that a method's defaults are chosen by."""
        return (self.data or "").partition("@")[0] or self.family

    @property
    def facts(self) -> dict[str, Any]:
        """The teacher's facts in a generator's description, so that it can be sampled without its teacher."""
        published = {"source": self.source, "resolution": self.resolution} if self.source is not None else {}
        dropped = {"dropout": self.dropout} if self.dropout else {}
        return {"data": self.data, "conditional": self.conditional, **dropped, **published}

    @property
    def place(self) -> Path | None:
        """The folder or file of a published model."""
        return Path(self.source) if self.source is not None else None


def open_teacher(folder: Path, prompts: Path | None = None) -> tuple[Denoiser, Data]:
    """A teacher with its conditions: labels by its data's own frequencies, or a list of prompts."""
    origin = Origin.of(folder)
    family: Any = components.teachers()[origin.family]
    if (folder / "network.safetensors").is_file():
        with _described_by(folder / "teacher.json"):
            teacher = family.build(dict(origin.settings))
        fill(teacher.network, folder)
        teacher = teacher.eval().requires_grad_(False)
    else:
        teacher = family.load(origin.place, **origin.own)
    return teacher, data_of(origin, prompts, teacher)


def teacher_sha256(folder: Path) -> str:
    """The sha256 of a teacher's network weights, wherever they lie; of several shards, that of their sha256."""
    origin = Origin.of(folder)
    family: Any = components.teachers()[origin.family]
    if (folder / "network.safetensors").is_file():
        files = [folder / "network.safetensors"]
    elif family.text:
        files = weight_files(family.check(origin.place) / family.part)
    else:
        files = [Path(str(origin.place)) / "network.safetensors"]
    digests = [sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def refuse_other_teacher(state: Path, folder: Path, identity: str) -> None:
    """A Fault if the training state was made from another teacher than that of `folder`, whose identity is given."""
    try:
        before = parsed((state / "recipe.json").read_text())["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # nothing was trained here, or the trainer itself reports what is wrong
    if before != identity:
        raise Fault(
            f"the state in {state} belongs to the teacher {before}, and the weights in {folder} are {identity}: "
            "give that teacher, or another folder with --out"
        )


def teacher_facts(folder: Path) -> TeacherFacts:
    """The facts of a teacher on disk that a method may depend on."""
    origin = Origin.of(folder)
    return facts_of(
        str(folder),
        origin.family,
        conditional=origin.conditional,
        published=origin.source is not None,
        dropout=origin.dropout,
        real=origin.data is not None and origin.resolution is None,
    )


def has_null(origin: Origin) -> bool:
    """Whether its network knows a null condition: published text-to-image models, and own ones by their dropout."""
    return facts_of(
        "",
        origin.family,
        conditional=origin.conditional,
        published=origin.source is not None,
        dropout=origin.dropout,
        real=False,
    ).guidance


def open_generator(folder: Path, prompts: Path | None = None) -> tuple[Generator, Data]:
    """A distilled generator with its conditions: its data's labels, or a list of prompts."""
    origin = Origin.of(folder, "generator.json")
    with _described_by(folder / "generator.json"):
        blank = components.teachers()[origin.family].build(dict(origin.settings))
        student = generator.load(folder, blank)
    return student, data_of(origin, prompts, blank)


def data_of(origin: Origin, prompts: Path | None, denoiser: Denoiser) -> Data:
    """Conditions and the samples' shape, for sampling and training."""
    return Data(_conditions(origin, prompts, denoiser), _shape(origin, denoiser))


def _conditions(origin: Origin, prompts: Path | None, denoiser: Denoiser) -> Conditions:
    if origin.text:
        return PromptConditions(PromptCache(prompts)) if prompts is not None else Unconditional()
    if not origin.conditional:
        return Unconditional()
    if origin.data is not None:
        return ClassLabels(torch.from_numpy(origin.dataset.labels("train")))
    # A published model without a data set: all classes equally often, as the published samplers draw them.
    return ClassLabels(torch.arange(int((denoiser.settings or {})["label_dim"])))


def _shape(origin: Origin, denoiser: Denoiser) -> tuple[int, ...]:
    if origin.source is None:
        return origin.dataset.shape
    if origin.resolution is not None:
        opened = decoder_of(origin)
        assert opened is not None
        return opened.sample_shape(origin.resolution)
    settings = denoiser.settings or {}
    return (settings["img_channels"], settings["img_resolution"], settings["img_resolution"])


def decoder_of(origin: Origin) -> Decoder | None:
    """The autoencoder of a latent model; None for models of pixels."""
    if origin.source is None or origin.resolution is None:
        return None
    family: Any = components.teachers()[origin.family]
    return family.decoder(origin.place).to(default_device())


def real_images(origin: Origin, prompts: Path | None = None) -> Callable[[Draws], tuple[torch.Tensor, Condition]]:
    """Training images in [-1, 1] with their labels or captions, drawn with replacement."""
    dataset = origin.dataset
    pixels = torch.from_numpy(dataset.images("train"))
    labels = torch.from_numpy(dataset.labels("train")) if origin.conditional and not origin.text else None
    cache = PromptCache(prompts) if origin.text and prompts is not None else None
    rows = cache.positions(dataset.captions("train")) if cache is not None else []

    def draw(draws: Draws) -> tuple[torch.Tensor, Condition]:
        chosen = (draws.uniform("real") * len(pixels)).long()
        condition = Condition() if labels is None else Condition(labels=labels[chosen])
        if cache is not None:
            condition = cache.condition([rows[index] for index in chosen.tolist()])
        return pixels[chosen].float() / 127.5 - 1, condition

    return draw


def encoded_pairs(folder: Path) -> EncodedPairs:
    """Real latents with their captions, as encoded by `sidbench prepare SUITE latents/DIGEST`."""
    from benchmarks.run.latents import EncodedPairs, LatentCache

    return EncodedPairs(LatentCache(folder), PromptCache(folder / CAPTIONS))


def teacher_pairs(
    folder: Path, prompts: Path | None = None
) -> Callable[[Draws], tuple[torch.Tensor, torch.Tensor, Condition]]:
    """Prepared pairs of noise and teacher image, drawn with replacement."""
    from safetensors.torch import load_file

    pairs = load_file(folder / "pairs.safetensors")
    cache = PromptCache(prompts) if prompts is not None else None

    def draw(draws: Draws) -> tuple[torch.Tensor, torch.Tensor, Condition]:
        chosen = (draws.uniform("pairs") * len(pairs["noise"])).long()
        condition = Condition(labels=pairs["labels"][chosen]) if "labels" in pairs else Condition()
        if cache is not None:
            condition = cache.condition(pairs["prompts"][chosen].tolist())
        return pairs["noise"][chosen], pairs["images"][chosen], condition

    return draw

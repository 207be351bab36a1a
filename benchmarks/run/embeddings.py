"""Prompts of a suite: which they are, their embeddings by a teacher's own text encoder, and how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data import prompts as prompt_lists
from benchmarks.data.open import open_dataset
from benchmarks.data.prompts import prompt_list
from benchmarks.hardware import default_device
from benchmarks.suite import components
from sid import prompts
from sid.fault import Fault
from sid.prompts import PromptCache, PromptConditions, WordEncoder

if TYPE_CHECKING:
    from benchmarks.run.artefacts import Origin
    from benchmarks.suite.protocol import PromptSource
    from sid.condition import Conditions


def encoder_of(family: str, source: str | None, world: str | None) -> Any:
    """The published model's text encoders, or the words of the data set a miniature is trained on."""
    if source is None:
        return WordEncoder(open_dataset(world or "").vocabulary)
    teacher: Any = components.teachers()[family]
    return teacher.text_encoder(source).to(default_device())


def cache(folder: Path, params: Mapping[str, Any], asked: PromptSource) -> PromptCache:
    """The embeddings, kept in the folder; what a killed run had encoded is not encoded again."""
    encoder = encoder_of(params["family"], params["source"], params["world"])
    family: Any = components.teachers()[params["family"]]
    told = None
    if params["source"] is not None and params["resolution"]:
        told = family.time_ids(params["resolution"], params["resolution"])
    return prompts.write_cache(folder, encoder, prompt_list(asked), params["dtype"], told)


def embedded(origin: Origin, file: Path | None, out: Path) -> Path | None:
    """A user's own prompts for a teacher that reads text, embedded once under `out`; None for the others."""
    if not origin.text:
        if file is not None:
            raise Fault(f"--prompts {file}: the teacher of the family {origin.family} reads no text")
        return None
    if file is None:
        raise Fault(f"the teacher of the family {origin.family} reads text: give a file of prompts with --prompts")
    encoder = encoder_of(origin.family, origin.source, origin.data)
    family: Any = components.teachers()[origin.family]
    told = family.time_ids(origin.resolution, origin.resolution) if origin.source and origin.resolution else None
    return prompts.cache_prompts(encoder, prompt_lists.read_lines(file), out / "prompts", "float32", told).folder


class Captions:
    """A protocol's captions: image i has the i-th, and a list that is too short starts again."""

    def __init__(self, listed: Sequence[str], conditions: Conditions):
        self.listed, self.conditions = list(listed), conditions

    def of(self, indices: range) -> list[str]:
        return [self.listed[index % len(self.listed)] for index in indices]


def captions(folder: Path, asked: PromptSource) -> Captions:
    """The protocol's captions with their embeddings."""
    return Captions(prompt_list(asked), PromptConditions(PromptCache(folder), "index"))

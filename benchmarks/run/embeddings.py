"""Embeddings of prompts by a teacher's own text encoder: of a suite's, of a user's file, and a protocol's captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
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


def encoder_of(
    family: str, source: str | None, world: str | None, settings: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    """The published model's text encoders; for a miniature, vectors of the words of the data set it is trained on.

    Args:
        family: The teacher's.
        source: The published model, or None for a miniature.
        world: The miniature's data set.
        settings: Those of the published model that its text encoders read.
    """
    teacher: Any = components.teachers()[family]
    if source is None:
        return WordEncoder(open_dataset(world or "").vocabulary, pooled=teacher.pooled)
    return teacher.text_encoder(source, **settings).to(default_device())


def embed_prompts(folder: Path, params: Mapping[str, Any], source: PromptSource) -> PromptCache:
    """The prompts' embeddings, cached in the folder; those that a killed run has encoded are not encoded again."""
    encoder = encoder_of(params["family"], params["source"], params["world"], params.get("settings", {}))
    family: Any = components.teachers()[params["family"]]
    time_ids = None
    if params["source"] is not None and params["resolution"]:
        time_ids = family.time_ids(params["resolution"], params["resolution"])
    return prompts.write_cache(folder, encoder, prompt_list(source), params["dtype"], time_ids)


def embed_file(origin: Origin, file: Path | None, out: Path) -> Path | None:
    """A user's own prompts for a teacher that reads text, embedded once under `out`; None for other teachers."""
    if not origin.text:
        if file is not None:
            raise Fault(f"--prompts {file}: the teacher of the family {origin.family} reads no text")
        return None
    if file is None:
        raise Fault(f"the teacher of the family {origin.family} reads text: give a file of prompts with --prompts")
    encoder = encoder_of(origin.family, origin.source, origin.data, origin.of_text)
    family: Any = components.teachers()[origin.family]
    time_ids = family.time_ids(origin.resolution, origin.resolution) if origin.source and origin.resolution else None
    return prompts.cache_prompts(encoder, prompt_lists.read_lines(file), out / "prompts", "float32", time_ids).folder


class Captions:
    """A protocol's captions: image i has the i-th; a list that is too short is repeated."""

    def __init__(self, captions: Sequence[str], conditions: Conditions):
        self.captions, self.conditions = list(captions), conditions

    def of(self, indices: range) -> list[str]:
        return [self.captions[index % len(self.captions)] for index in indices]


def captions_of(folder: Path, source: PromptSource) -> Captions:
    """The protocol's captions with their embeddings, which `embed_prompts` cached in the folder."""
    return Captions(prompt_list(source), PromptConditions(PromptCache(folder), "index"))

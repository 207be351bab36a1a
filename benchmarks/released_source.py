"""What a published generator is fed and how its answer becomes a picture: its own text encoders and autoencoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.hardware import here
from benchmarks.run import embeddings
from sid.condition import ClassLabels, Conditions, Unconditional
from sid.fault import Fault
from sid.prompts import PromptConditions, cache_prompts

if TYPE_CHECKING:
    from benchmarks.run.released import Opened
    from benchmarks.suite.protocol import Protocol
    from benchmarks.suite.released import Released

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
    decoder = family.decoder(opened.source).to(here())
    listed = embeddings.prompt_list(protocol.prompts)
    told = family.time_ids(described.resolution, described.resolution)
    cache = cache_prompts(family.text_encoder(opened.source).to(here()), listed, state / "prompts", "bfloat16", told)
    conditions = PromptConditions(cache, "index")
    shape = decoder.sample_shape(described.resolution)
    return conditions, shape, decoder, embeddings.Captions(listed, conditions)

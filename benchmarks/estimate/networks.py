"""The published networks as they were counted (benchmarks/speed/records/flops.json), found by what a suite names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.suite.config import Teacher
    from benchmarks.suite.released import Released


RECORD = Path(__file__).parent / "records" / "flops.json"


@dataclass(frozen=True)
class Network:
    """A teacher's network for pictures of one size, with what stands around it. FLOPs are of one sample."""

    name: str
    side: int  # pixels
    parameters: int
    adapters: float  # parameters of adapters, per unit of rank
    forward: float
    encoder: float  # of a pass that stops at the features
    saved_bytes: float  # what a pass keeps for its backward pass, in float32
    sample: tuple[int, ...]
    text: tuple[int, int, int] = (0, 0, 0)  # tokens, width, width of the pooled embedding
    prompt: float = 0.0  # FLOPs of all text encoders
    decode: float = 0.0
    encode: float = 0.0
    stands_for: str = field(default="", compare=False)  # what it is taken for, where that was not counted itself

    @property
    def early(self) -> float:
        """The encoder's share of a pass."""
        return self.encoder / self.forward


@lru_cache
def counted() -> Mapping[str, Any]:
    """The record."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def of_teacher(teacher: Teacher) -> Network | None:
    """A suite's teacher; None where it is trained on the spot, or nothing of its size was counted."""
    return _find(teacher.family, teacher.source, teacher.resolution) if teacher.source is not None else None


def of_released(described: Released, teacher: Network | None) -> Network | None:
    """A published generator: by its base, else by its repository; pixel models are their task's teacher."""
    if described.kind == "edm":
        return teacher
    return _find(described.family, described.base or described.repository, described.resolution)


def _find(family: str, source: str | None, side: int | None) -> Network | None:
    """By the published name, else the family's first of that size, which then says that it stands for another."""
    alike = {name: told for name, told in counted()["networks"].items() if told["family"] == family}
    stem = Path(str(source)).stem
    exact = [name for name, told in alike.items() if source in told["sources"] or stem in told["sources"]]
    for name in [*exact, *alike]:
        sizes = alike[name]["sizes"]
        size = str(side) if side is not None else next(iter(sizes))
        # A pixel model says nothing of its size but by its name: no other can stand for it.
        if size in sizes and (name in exact or side is not None):
            return _network(name, alike[name], size, "" if name in exact else str(source))
    return None


def _network(name: str, told: Mapping[str, Any], size: str, stands_for: str) -> Network:
    at, record = told["sizes"][size], counted()
    around: dict[str, Any] = {}
    if "decoder" in told:
        autoencoder = record["decoders"][told["decoder"]]["sizes"][size]
        prompt = sum(record["encoders"][encoder]["flops"] for encoder in told["encoders"])
        around = {"text": tuple(told["text"]), "prompt": prompt, **autoencoder}
    return Network(
        name,
        int(size),
        told["parameters"],
        told["adapters"] / record["adapter_rank"],
        at["forward"],
        at["encoder"],
        at["saved_bytes"],
        tuple(at["sample"]),
        stands_for=stands_for,
        **around,
    )


def extractor_flops(name: str) -> float | None:
    """Of one image through a feature network; None where it was not counted."""
    found = counted()["extractors"].get(name)
    return None if found is None else float(found["flops"])

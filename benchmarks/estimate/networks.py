"""The published networks as they were counted (benchmarks/speed/records/flops.json), found by what a suite names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.method import Copy, Ema, Lora, Method, Student
from sid.parallel.settings import EngineSettings, Footprint

if TYPE_CHECKING:
    from benchmarks.suite.config import Budget, Teacher
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


FLOAT = 4  # bytes
STATES = 2  # that a training keeps, and one more while it writes


@dataclass(frozen=True)
class Held:
    """Bytes of one training."""

    single: float  # weights, gradients and optimisers, on one GPU and on each of ddp
    fsdp2: float  # on each of so many GPUs
    activations: float  # of the micro-batch, beside those
    micro: int  # samples of a GPU at a time
    precision: str
    state: float  # one of its states on disk
    generator: float  # what it leaves


def held(method: Method, options: Any, network: Network, budget: Budget, gpus: int) -> Held:
    """With a GAN's head left out: it is small beside the networks."""
    settings, rank = budget.executed, getattr(budget.student, "rank", None)
    footprint = footprint_of(method, options, network, rank)
    turns = method.passes(options)
    graphs = max((turn.passes.graphs for turn in turns.values()), default=0.0)
    micro = budget.micro_batch or max(budget.batch // gpus, 1)
    half = 1.0 if settings.precision == "fp32" else 0.5

    def each(strategy: str) -> float:
        return footprint.bytes_each(replace(settings, strategy=strategy), gpus)

    kept = 3 * sum(footprint.trained) + footprint.averaged
    return Held(
        each("ddp"),
        each("fsdp2"),
        half * graphs * micro * network.saved_bytes,
        micro,
        settings.precision,
        FLOAT * kept,
        FLOAT * network.parameters,
    )


def footprint_of(method: Method, options: Any, network: Network, rank: int | None = None) -> Footprint:
    """The networks that a method builds. `rank` is that of adapters which stand for the student."""
    nets = method.build(options).values()
    whole = network.parameters
    base, trained, averaged = 0, list[int](), 0
    for net in nets:
        if isinstance(net, Student):
            base += 0 if rank is None else whole
            trained.append(whole if rank is None else round(rank * network.adapters))
            averaged += whole
        elif isinstance(net, Copy):
            trained.append(whole)
        elif isinstance(net, Lora):
            trained.append(round(net.rank * network.adapters))
        elif isinstance(net, Ema):
            averaged += whole
    # Which players keep no first moment stands in their optimisers, which need torch: none is taken off.
    return Footprint(whole, tuple(trained), (), averaged, base)


def saves(settings: EngineSettings) -> list[str]:
    """Settings that hold less than is told here."""
    return [
        name
        for name, on in (
            ("checkpointing", settings.checkpointing),
            ("split_backward", settings.split_backward),
            ("first_moment: false", not settings.first_moment),
            ("eight_bit", settings.eight_bit),
        )
        if on
    ]

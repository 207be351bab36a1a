"""Sizes and FLOPs of published networks, found by what a suite names, and the memory of a training of them.

The counts are those of records/flops.json, which benchmarks/estimate/flops.py writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.method import Copy, Ema, Lora, Method, Student
from sid.parallel.settings import Footprint

if TYPE_CHECKING:
    from benchmarks.suite.config import Budget, TeacherSection
    from benchmarks.suite.released import Released


RECORD = Path(__file__).parent / "records" / "flops.json"
FLOAT = 4  # bytes
STATES = 2  # that a training stores, and one more while it writes


@dataclass(frozen=True)
class Network:
    """A teacher's network for images of one size, with its text encoders and autoencoder. FLOPs are of one sample."""

    name: str
    side: int  # pixels
    parameters: int
    adapters: float  # parameters of adapters, per unit of rank
    forward: float  # FLOPs of a pass
    encoder: float  # FLOPs of a pass that stops at the features
    saved_bytes: float  # activations that a pass saves for its backward pass, in float32
    sample: tuple[int, ...]
    text: tuple[int, int, int] = (0, 0, 0)  # tokens, width, width of the pooled embedding
    prompt: float = 0.0  # FLOPs of all text encoders
    decode: float = 0.0  # FLOPs of the autoencoder's halves
    encode: float = 0.0
    stands_for: str = field(default="", compare=False)  # the network it is taken for, if that was not counted itself

    @property
    def early(self) -> float:
        """The share of a pass that ends at the features."""
        return self.encoder / self.forward


@lru_cache
def counted() -> Mapping[str, Any]:
    """The record of counts."""
    return json.loads(RECORD.read_text(encoding="utf-8"))


def of_teacher(teacher: TeacherSection) -> Network | None:
    """The network of a suite's teacher; None if it is trained here or nothing of its size was counted."""
    return _find(teacher.family, teacher.source, teacher.resolution) if teacher.source is not None else None


def of_released(described: Released, teacher: Network | None) -> Network | None:
    """The network of a released generator, by its base or repository; that of pixel models is their teacher's."""
    if described.kind == "edm":
        return teacher
    return _find(described.family, described.base or described.repository, described.resolution)


def _find(family: str, source: str | None, side: int | None) -> Network | None:
    """By the published name, else the family's first network of that size, marked by `stands_for`."""
    alike = {name: counts for name, counts in counted()["networks"].items() if counts["family"] == family}
    stem = Path(str(source)).stem
    exact = [name for name, counts in alike.items() if source in counts["sources"] or stem in counts["sources"]]
    for name in [*exact, *alike]:
        sizes = alike[name]["sizes"]
        size = str(side) if side is not None else next(iter(sizes))
        # A pixel model's size is known by its name alone: no other network can stand for it.
        if size in sizes and (name in exact or side is not None):
            return _network(name, alike[name], size, "" if name in exact else str(source))
    return None


def _network(name: str, counts: Mapping[str, Any], size: str, stands_for: str) -> Network:
    at, record = counts["sizes"][size], counted()
    around: dict[str, Any] = {}
    if "decoder" in counts:
        autoencoder = record["decoders"][counts["decoder"]]["sizes"][size]
        prompt = sum(record["encoders"][encoder]["flops"] for encoder in counts["encoders"])
        around = {"text": tuple(counts["text"]), "prompt": prompt, **autoencoder}
    return Network(
        name,
        int(size),
        counts["parameters"],
        counts["adapters"] / record["adapter_rank"],
        at["forward"],
        at["encoder"],
        at["saved_bytes"],
        tuple(at["sample"]),
        stands_for=stands_for,
        **around,
    )


def extractor_flops(name: str) -> float | None:
    """FLOPs of one image through a feature network; None if it was not counted."""
    counts = counted()["extractors"].get(name)
    return None if counts is None else float(counts["flops"])


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one training."""

    single: float  # weights, gradients and optimisers, on one GPU and on each of ddp
    fsdp2: float  # on each GPU, sharded over all of them
    activations: float  # of the micro-batch, in addition
    micro: int  # samples on a GPU at a time
    precision: str
    state: float  # of one state on disk
    generator: float  # of the generator on disk


def memory_of(method: Method, options: Any, network: Network, budget: Budget, gpus: int) -> MemoryEstimate:
    """The memory of a training, without a GAN's head, which is small beside the networks.

    Args:
        method: The method, with its `options`.
        options: An instance of its Options.
        network: The teacher's.
        budget: Batch, adapters and engine of the run.
        gpus: That share the training.
    """
    settings, rank = budget.executed, getattr(budget.student, "rank", None)
    footprint = footprint_of(method, options, network, rank)
    turns = method.passes(options)
    graphs = max((turn.passes.graphs for turn in turns.values()), default=0.0)
    micro = budget.micro_batch or max(budget.batch // gpus, 1)
    half = 1.0 if settings.precision == "fp32" else 0.5

    def each(strategy: str) -> float:
        return footprint.bytes_each(replace(settings, strategy=strategy), gpus)

    stored = 3 * sum(footprint.trained) + footprint.averaged  # weights and two moments; averages
    return MemoryEstimate(
        each("ddp"),
        each("fsdp2"),
        half * graphs * micro * network.saved_bytes,
        micro,
        settings.precision,
        FLOAT * stored,
        FLOAT * network.parameters,
    )


def footprint_of(method: Method, options: Any, network: Network, rank: int | None = None) -> Footprint:
    """The networks that a method builds. `rank` is that of the student's adapters, if it has any."""
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
    # Optimisers without a first moment are not subtracted: the players that have them need torch.
    return Footprint(whole, tuple(trained), (), averaged, base)

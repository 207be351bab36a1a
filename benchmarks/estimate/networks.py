"""Sizes and FLOPs of published networks, found by what a suite names, and the memory of a training of them.

The counts are those of records/flops.json, which benchmarks/estimate/flops.py writes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.method import Copy, Ema, Lora, Method, Student
from sid.parallel.settings import EngineSettings, Footprint
from sid.passes import Passes, Turns

if TYPE_CHECKING:
    from benchmarks.suite.config import Budget, TeacherSection
    from benchmarks.suite.released import Released


RECORD = Path(__file__).parent / "records" / "flops.json"
FLOAT = 4  # bytes
STATES = 2  # that a training stores, and one more while it writes


@dataclass(frozen=True)
class Saved:
    """Bytes that a pass of one sample saves for its backward pass."""

    trained: float  # of a network whose weights are trained, in float32
    inputs: float  # of a frozen one, to its input alone
    half_trained: float  # the same under bfloat16 autocast
    half_inputs: float
    casts: float  # of the weights' casts under autocast, of any number of samples
    checkpointed: float  # the share of it that is left where blocks are run again

    def activations(self, passes: Passes, micro: int, settings: EngineSettings, early: float) -> float:
        """Bytes of a turn's graphs, all at once, for `micro` samples.

        With split_backward frozen networks are run again one after the other: one graph of them is there at a time,
        and its casts. Checkpointing runs blocks again. A graph that ends at the features is `early` of a whole one.
        """
        half = settings.precision != "fp32"
        frozen = passes.inputs + early * passes.encoder_inputs
        if settings.split_backward:
            frozen = min(frozen, math.ceil(passes.inputs / 2) or early)
        trained = passes.backward + early * passes.encoder_backward
        graphs = trained * (self.half_trained if half else self.trained)
        graphs += frozen * (self.half_inputs if half else self.inputs)
        casts = self.casts * (trained + frozen > 0) * (1 + (frozen > 0)) if settings.precision == "bf16" else 0.0
        if settings.checkpointing:
            graphs, casts = graphs * self.checkpointed, 0.0
        return micro * graphs + casts


@dataclass(frozen=True)
class Network:
    """A teacher's network for images of one size, with its text encoders and autoencoder. FLOPs are of one sample."""

    name: str
    side: int  # pixels
    parameters: int
    adapters: float  # parameters of adapters, per unit of rank
    forward: float  # FLOPs of a pass
    encoder: float  # FLOPs of a pass that stops at the features
    saved: Saved
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
    return find(teacher.family, teacher.source, teacher.resolution) if teacher.source is not None else None


def of_released(described: Released, teacher: Network | None) -> Network | None:
    """The network of a released generator, by its base or repository; that of pixel models is their teacher's."""
    if described.kind == "edm":
        return teacher
    return find(described.family, described.base or described.repository, described.resolution)


def find(family: str, source: str | None, side: int | None) -> Network | None:
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
        _saved(at),
        tuple(at["sample"]),
        stands_for=stands_for,
        **around,
    )


def _saved(at: Mapping[str, Any]) -> Saved:
    """What a size's record says of saved activations."""
    whole, half, casts = at["saved_bytes"], (at["half_saved_bytes"], at["half_inputs_bytes"]), at["cast_bytes"]
    return Saved(whole, at["inputs_bytes"], *half, casts, at["checkpointed_bytes"] / whole)


def extractor_flops(name: str) -> float | None:
    """FLOPs of one image through a feature network; None if it was not counted."""
    counts = counted()["extractors"].get(name)
    return None if counts is None else float(counts["flops"])


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one training."""

    single: float  # weights, gradients and optimisers, on one GPU and on each of ddp
    fsdp2: float  # on each GPU, sharded over all of them
    activations: float  # of the micro-batch
    peak: float  # most at once on one GPU and on each of ddp
    fsdp2_peak: float  # on each GPU of fsdp2
    micro: int  # samples on a GPU at a time
    precision: str
    state: float  # of one state on disk
    generator: float  # of the generator on disk
    smaller: tuple[tuple[str, float], ...] = ()  # (settings, peak on one GPU) with more and more savings


# In the order of what they cost: nothing but time, rounding, fidelity (docs/engine.md).
SAVINGS: tuple[dict[str, Any], ...] = (
    {"split_backward": True},
    {"checkpointing": True},
    {"first_moment": False},
    {"precision": "bf16"},
    {"offload": True},
    {"eight_bit": True},
)


def memory_of(method: Method, options: Any, network: Network, budget: Budget, gpus: int) -> MemoryEstimate:
    """The memory of a training, without a GAN's head, which is small beside the networks.

    Args:
        method: The method, with its `options`.
        options: An instance of its Options.
        network: The teacher's.
        budget: Batch, adapters and engine of the run.
        gpus: That share the training.
    """
    share = max(budget.batch // gpus, 1)
    training = _Sized(method.passes(options), _footprint(method, options, network, budget), network, share, gpus)
    settings, micro = budget.executed, budget.micro_batch or share
    sparing = settings
    smaller = [("micro_batch=1", training.peak(settings, 1))]
    for saving in SAVINGS:
        peak = training.peak(replace(sparing, **saving), 1)
        if peak < smaller[-1][1]:  # not where it is set already, or saves nothing
            sparing = replace(sparing, **saving)
            words = " ".join(f"{name}={str(value).lower()}" for name, value in saving.items())
            smaller.append((f"{smaller[-1][0]} {words}", peak))
    footprint = training.footprint
    stored = 3 * sum(footprint.trained) + footprint.averaged  # weights and two moments; averages
    sharded = replace(settings, strategy="fsdp2")
    return MemoryEstimate(
        footprint.bytes_each(replace(settings, strategy="ddp"), gpus),
        footprint.bytes_each(sharded, gpus),
        training.activations(settings, micro),
        training.peak(settings, micro),
        training.peak(sharded, micro),
        micro,
        settings.precision,
        FLOAT * stored,
        FLOAT * network.parameters,
        tuple(smaller),
    )


@dataclass(frozen=True)
class _Sized:
    """A training whose memory is asked for under several settings."""

    turns: Turns
    footprint: Footprint
    network: Network
    share: int  # samples of an iteration on each GPU
    gpus: int

    def activations(self, settings: EngineSettings, micro: int) -> float:
        """Of the largest turn."""
        early, saved = self.network.early, self.network.saved
        return max(
            (saved.activations(turn.passes, micro, settings, early) for turn in self.turns.values()), default=0.0
        )

    def peak(self, settings: EngineSettings, micro: int) -> float:
        """Activations are freed while gradients grow; gradients of an earlier micro-batch are there already."""
        activations, size = self.activations(settings, micro), self.footprint.bytes_each(settings, self.gpus)
        if self.share > micro:
            return size + activations
        gradients = FLOAT * max(self.footprint.trained, default=0) / settings.holders(self.gpus)
        return size - gradients + max(gradients, activations)


def _footprint(method: Method, options: Any, network: Network, budget: Budget) -> Footprint:
    return footprint_of(method, options, network, getattr(budget.student, "rank", None))


def footprint_of(method: Method, options: Any, network: Network, rank: int | None = None) -> Footprint:
    """The networks that a method builds. `rank` is that of the student's adapters, if it has any."""
    nets = method.build(options).values()
    whole = network.parameters
    base, trained, averaged = 0, list[int](), 0
    momentless: list[int] = []
    for net in nets:
        before = len(trained)
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
        if _beta1(options, isinstance(net, Student)) == 0:
            momentless += trained[before:]
    return Footprint(whole, tuple(trained), tuple(momentless), averaged, base)


def _beta1(options: Any, student: bool) -> float:
    """Adam's beta1 of a network's player, 0 where no option sets it; the players themselves need torch."""
    own = getattr(options, "beta1_generator", None) if student else None
    return float(getattr(options, "beta1", 0.0) if own is None else own)

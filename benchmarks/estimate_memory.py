"""What a training holds on one GPU and in its state on disk, from parameter counts. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sid.method import Copy, Ema, Lora, Method, Student
from sid.parallel.settings import EngineSettings, Footprint

if TYPE_CHECKING:
    from benchmarks.entry import Budget
    from benchmarks.estimate.networks import Network

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
    half = 0.5 if settings.precision == "bf16" else 1.0

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

"""An estimate as lines of at most 100 columns, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.estimate.estimate import CPU_RATE

if TYPE_CHECKING:
    from benchmarks.estimate.devices import Device
    from benchmarks.estimate.estimate import Estimate
    from benchmarks.estimate.networks import MemoryEstimate
    from benchmarks.suite.config import Suite


WIDTH = 100
NONE = "-"
GIGA = 1e9
ASSUMED = (
    "FLOPs are counted on the published configs; a backward pass counts as two forward passes, one to the inputs "
    "alone as one. References' features, metrics and the preparation of data are not included.",
    "Hours are those of one device that does all of it: perfectly shared, N of them take an Nth.",
    "Precision is the suite's own; sampling and scoring are float32, here without TF32.",
)
MEMORY = (
    "weights, gradients and optimisers; then activations of the micro-batch (what its passes keep for their backward "
    "passes, attention fused). The most at once is both, less the gradients where the first micro-batch is the only "
    "one: they grow while activations are freed. `one GPU` names settings that fit (docs/engine.md). Not included: a "
    "GAN's head, the autoencoder and feature networks of the curve's points, and what the allocator wastes. (x4): "
    "samples of a GPU at a time, the suite's micro-batch."
)


def lines(suite: Suite, estimate: Estimate, device: Device, gpus: int, missing: Sequence[str]) -> Iterator[str]:
    """The lines that `sidbench plan` prints.

    Args:
        suite: The suite.
        estimate: Its cost.
        device: What hours follow from.
        gpus: That share each training.
        missing: Sentences about what the suite lacks.
    """
    yield f"{suite.name}: {suite.title}" if suite.title else suite.name
    hours = sum(stage.hours(device) for stage in estimate.stages.values())
    yield from _wrapped(f"An estimate, by {device.origin}." if hours else "An estimate: miniatures alone, on the CPU.")
    yield ""
    yield from _stages(estimate, device)
    if gpus > 1 and hours:
        yield f"On {gpus} such GPUs: {_hours(hours / gpus)} hours at best ({_hours(hours / gpus / 24)} days)."
    yield ""
    if estimate.trainings:
        yield from _memory(estimate, device, gpus)
        yield ""
    for sentence in _notes(estimate, bool(hours)):
        yield from _wrapped(f"note: {sentence}")
    for sentence in estimate.unknown:
        yield from _wrapped(f"not known: {sentence}")
    for sentence in missing:
        yield from _wrapped(f"missing: {sentence}")


def _notes(estimate: Estimate, counted: bool) -> Iterator[str]:
    yield from ASSUMED if counted else ()
    if estimate.largest_state:
        yield (
            f"Disk holds each training's last two states and its generator; while a state is written it is a third, of "
            f"up to {_bytes(estimate.largest_state)}. Images are not kept."
        )
    if estimate.measured:
        yield f"CPU hours of {estimate.measured} miniature jobs are those of their last records."
    if estimate.reckoned:
        yield (
            f"CPU hours of {estimate.reckoned} miniature jobs follow from {CPU_RATE:,.0f} passes per second and core, "
            "as measured on one machine; a core of another may be half or twice as fast."
        )


def _stages(estimate: Estimate, device: Device) -> Iterator[str]:
    yield _row("stage", "jobs", "images", "passes", "device hours", "CPU hours", "disk")
    for name, stage in estimate.stages.items():
        if stage.jobs:
            hours, cpu = stage.hours(device), stage.cpu_seconds / 3600
            counts = (f"{stage.jobs:,}", _short(stage.images), _short(stage.passes))
            yield _row(name, *counts, _hours(hours), _hours(cpu), _bytes(stage.disk))
    hours = sum(stage.hours(device) for stage in estimate.stages.values())
    cpu = sum(stage.cpu_seconds for stage in estimate.stages.values()) / 3600
    disk = sum(stage.disk for stage in estimate.stages.values())
    yield _row("all", "", "", "", _hours(hours), _hours(cpu), _bytes(disk))


def _row(stage: str, *cells: str) -> str:
    widths = (8, 12, 12, 16, 14, 14)
    return (f"{stage:<12}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))).rstrip()


def _memory(estimate: Estimate, device: Device, gpus: int) -> Iterator[str]:
    yield f"{'GB on each GPU':<40}{'single, ddp':>14}{f'fsdp2 over {gpus}':>16}{'+ activations':>16}{'fits':>14}"
    for title, network in estimate.networks.items():
        trainings = {memory: runs for (name, memory), runs in estimate.trainings.items() if name == network.name}
        if trainings:
            yield f"{title}: {_short(network.parameters)} parameters, {_short(network.forward)} FLOP a pass"
        for memory, runs in trainings.items():
            beside = f"{memory.activations / GIGA:.1f} (x{memory.micro})"
            yield (
                f"  {_names(runs, 36):<38}{memory.single / GIGA:>14.1f}{memory.fsdp2 / GIGA:>16.1f}{beside:>16}"
                f"{_fits(memory, device.memory):>14}"
            ).rstrip()
            yield from _smaller(memory, device.memory)
    yield from _wrapped(f"These are {MEMORY}")


def _fits(memory: MemoryEstimate, room: float | None) -> str:
    """The strategies under which a training fits into a GPU; else the largest micro-batch that would."""
    if room is None:
        return ""
    both = [name for name, peak in (("ddp", memory.peak), ("fsdp2", memory.fsdp2_peak)) if peak <= room]
    if both:
        return ", ".join(both)
    largest = int((room - memory.fsdp2) / (memory.activations / memory.micro)) if memory.fsdp2 < room else 0
    return f"fsdp2 at x{largest}" if largest else "no"


def _smaller(memory: MemoryEstimate, room: float | None) -> Iterator[str]:
    """The first settings, by what they cost, under which a training fits into one GPU that it does not fit into."""
    if room is None or memory.peak <= room:
        return
    for words, peak in memory.smaller:
        if peak <= room:
            yield from textwrap.wrap(
                f"    one GPU: {peak / GIGA:.1f} GB with {words}", WIDTH, subsequent_indent=" " * 8
            )
            return
    yield f"    one GPU: {memory.smaller[-1][1] / GIGA:.1f} GB with all savings: it does not fit"


def _names(runs: Sequence[str], width: int) -> str:
    """As many rows' names as fit, once each, and how many more there are."""
    names = list(dict.fromkeys(run.partition("/")[2] for run in runs))
    shown = names[0]
    for at, name in enumerate(names[1:], 1):
        rest = f" +{len(names) - at - 1}" if len(names) - at - 1 else ""
        if len(f"{shown}, {name}{rest}") > width - 3:
            return f"{shown} +{len(names) - at}"
        shown += f", {name}"
    return shown


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _short(count: float) -> str:
    """Three digits and a letter."""
    for power, letter in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {letter}"
    return f"{count:.0f}" if count else NONE


def _hours(hours: float) -> str:
    if not hours:
        return NONE
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}" if hours >= 0.01 else "< 0.01"


def _bytes(size: float) -> str:
    if not size:
        return NONE
    return f"{size / 1e12:.1f} TB" if size >= 1e12 else f"{size / GIGA:.1f} GB" if size >= 1e8 else "< 0.1 GB"


def as_json(suite: Suite, estimate: Estimate, device: Device, gpus: int, missing: Sequence[str]) -> dict[str, Any]:
    """The same content as data; arguments as those of `lines`."""
    stages = {
        name: {**asdict(stage), "device_hours": stage.hours(device)}
        for name, stage in estimate.stages.items()
        if stage.jobs
    }
    trainings = [
        {"network": name, "runs": runs, "bytes_per_gpu": asdict(memory)}
        for (name, memory), runs in estimate.trainings.items()
    ]
    return {
        "suite": suite.name,
        "estimate": True,
        "device": asdict(device),
        "gpus": gpus,
        "device_hours": sum(stage.hours(device) for stage in estimate.stages.values()),
        "stages": stages,
        "networks": {title: asdict(network) for title, network in estimate.networks.items()},
        "trainings": trainings,
        "largest_state_bytes": estimate.largest_state,
        "notes": [*_notes(estimate, True), MEMORY],
        "not_known": list(estimate.unknown),
        "missing": list(missing),
    }

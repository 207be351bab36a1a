"""One score of a row: the images of one trial, or of the several that a protocol averages or takes the best of."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.data.open import open_dataset
from benchmarks.hardware import here
from benchmarks.images import writing
from benchmarks.images.writing import through_jpeg
from benchmarks.run import embeddings
from benchmarks.scoring.portions import Place, Scorer, Seen, as_json
from sid import atomic, sampling
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Score
    from benchmarks.scoring.portions import Scorer
    from benchmarks.suite.protocol import Protocol
    from sid.condition import Conditions


@dataclass
class SampleSource:
    """Where a run's images come from, by sample index."""

    sampler: sampling.Sampler
    conditions: Conditions
    shape: tuple[int, ...]
    steps: int
    captions: embeddings.Captions | None = None
    decode: Callable[[torch.Tensor], torch.Tensor] | None = None
    device: str = field(default_factory=here)
    bound: bool = True  # to the protocol's size; a published generator makes pictures of its own

    def portions(
        self, protocol: Protocol, seed: int, asked: range | None = None
    ) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Images with their captions, as many at a time as the protocol says; of these sample indices, or of all."""
        asked = range(protocol.samples) if asked is None else asked
        for first in range(asked.start, asked.stop, protocol.batch):
            indices = range(first, min(first + protocol.batch, asked.stop))
            made = sampling.generate(
                self.sampler,
                self.conditions,
                self.shape,
                indices,
                seed,
                len(indices),
                self.device,
                self.decode,
                protocol.rules.quantiser,
            )
            if self.bound and protocol.rules.size not in (None, made.shape[-1]):
                raise Fault(
                    f"the model makes pictures of {made.shape[-1]} pixels, and the protocol {protocol.name} scores "
                    f"those of {protocol.rules.size}: give the teacher that resolution, or name another protocol"
                )
            made = through_jpeg(made) if protocol.rules.file == "jpeg-75" else made
            yield made, self.captions.of(indices) if self.captions is not None else []


RULES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "single": lambda values: values[0],
    "mean": statistics.fmean,
    "minimum": min,
}


@dataclass
class Scored:
    """What a run reports of its images."""

    metrics: dict[str, Any]  # as scores.json holds them
    count: int
    images: np.ndarray  # the first ones
    captions: list[str]


def of_dataset(name: str, protocol: Protocol, scorer: Scorer, shown: int) -> Scored:
    """The held-out images themselves: the floor of a distance."""
    dataset = open_dataset(name)
    images, captions = dataset.images("heldout"), dataset.captions("heldout") if dataset.captioned else []
    return Scored(as_json(scorer.score(images, captions)), len(images), images[:shown], captions[:shown])


def of_source(source: SampleSource, protocol: Protocol, scorer: Scorer, shown: int, folder: Path) -> Scored:
    """Every trial has its own seed: the protocol's, the next one, and so on. Shards are kept in the folder."""
    tried, first, count = [], np.empty(0, np.uint8), 0
    for trial in range(protocol.selection.trials):
        seed = protocol.seed + trial
        if protocol.in_shards:
            seen, images = look(source, protocol, seed, scorer, folder, shown)
        else:
            seen, images = _at_once(source, protocol, seed, scorer, shown)
        first = images if trial == 0 else first
        tried.append(scorer.score(seen))
        count = seen.count
    told = source.captions.of(range(len(first))) if source.captions is not None else []
    return Scored(selected(tried, protocol), count, first, told)


def help_out(source: SampleSource, protocol: Protocol, scorer: Scorer, folder: Path, shown: int) -> None:
    """What a process does beside the first, which alone scores: its share of the shards, if there are any."""
    if protocol.in_shards:
        for trial in range(protocol.selection.trials):
            make(source, protocol, protocol.seed + trial, scorer, folder, shown)


def _at_once(
    source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, shown: int
) -> tuple[Seen, np.ndarray]:
    """The features of all samples, and the first images."""
    seen, first = Seen(), list[np.ndarray]()
    for made, captions in source.portions(protocol, seed):
        first.append(made[: max(shown - seen.count, 0)].copy())
        scorer.look(made, captions, seen)
    return seen, np.concatenate(first)


def selected(tried: list[dict[str, Score]], protocol: Protocol) -> dict[str, Any]:
    """The number by the protocol's rule, every trial's beside it, and what other published rules would give."""
    metrics = as_json(tried[0])
    if len(tried) == 1:
        return metrics
    for name, held in metrics.items():
        values = [trial[name].value for trial in tried]
        held["value"] = RULES[protocol.selection.rule](values)
        held["details"] |= {"trials": values, "rule": protocol.selection.rule, **_alternatives(values, protocol)}
    return metrics


def _alternatives(values: list[float], protocol: Protocol) -> Mapping[str, float]:
    """Other papers' rules on the same trials; one that asks for more trials than were made is left out."""
    fitting = {name: rule for name, rule in protocol.alternatives.items() if rule.trials <= len(values)}
    return {name: RULES[rule.rule](values[: rule.trials]) for name, rule in fitting.items()}


FIRST = "first"  # the images that the page shows, in the first shard


def look(
    source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int
) -> tuple[Seen, np.ndarray]:
    """The features of all samples of a seed, and the first images."""
    make(source, protocol, seed, scorer, folder, shown)
    ranges = ranges_of(protocol)
    seen, first = Seen(), np.empty(0, np.uint8)
    for number, indices in enumerate(ranges):
        kept = _read(_file(folder, seed, number), scorer)
        assert kept is not None, "made above"
        first = kept[FIRST] if number == 0 else first
        for place in scorer.places:
            seen.parts.setdefault(place, []).append(kept[_name(place)])
        seen.captions += source.captions.of(indices) if source.captions is not None else []
        seen.count += len(indices)
    return seen, first


def make(source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int) -> None:
    """The shards of a seed that are not there yet."""
    ranges = ranges_of(protocol)
    for number in order(len(ranges)):
        file = _file(folder, seed, number)
        if _read(file, scorer) is None:
            _make(source, protocol, seed, ranges[number], scorer, file, shown)


def ranges_of(protocol: Protocol) -> list[range]:
    """The sample indices of each shard; one for all where the protocol has none."""
    size = protocol.shard or protocol.samples
    return [range(first, min(first + size, protocol.samples)) for first in range(0, protocol.samples, size)]


def order(count: int) -> Iterator[int]:
    """This process's shards, then the others', from the far end: who is done early helps, and nobody is waited for."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    own = range(rank, count, world)
    yield from own
    yield from (number for number in reversed(range(count)) if number not in own)


def _file(folder: Path, seed: int, number: int) -> Path:
    return folder / f"seed-{seed}" / f"{number:05d}.safetensors"


def _name(place: Place) -> str:
    return "|".join(place)


def _read(file: Path, scorer: Scorer) -> dict[str, np.ndarray] | None:
    """A whole shard that these very networks have seen; None otherwise."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as held:
            made = json.loads((held.metadata() or {}).get("weights", "{}"))
            names = set(held.keys())
            if made != scorer.weights or not {FIRST, *map(_name, scorer.places)} <= names:
                return None
            return {name: held.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError):
        return None


def _make(
    source: SampleSource, protocol: Protocol, seed: int, indices: range, scorer: Scorer, file: Path, shown: int
) -> None:
    from safetensors.numpy import save

    seen, kept, first = Seen(), [], [np.empty(0, np.uint8)]
    for made, captions in source.portions(protocol, seed, indices):
        if not indices.start:
            first = [*(first if seen.count else []), made[: max(shown - seen.count, 0)]]
        kept += [made] if protocol.keep_images else []
        scorer.look(made, captions, seen)
    if kept:
        facts = {"seed": seed, "first": indices.start, "protocol": protocol.name}
        writing.write(file.with_suffix(".zip"), np.concatenate(kept), facts)
    arrays = {_name(place): np.ascontiguousarray(seen.of(place)) for place in scorer.places}
    told = {"weights": json.dumps(scorer.weights, sort_keys=True)}
    # Written last: a shard that is there is whole.
    atomic.write_bytes(file, save({**arrays, FIRST: np.ascontiguousarray(np.concatenate(first))}, told))

"""The scores of a run: its samples portion by portion or in shards, for the one or several trials of its protocol."""

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
from benchmarks.hardware import default_device
from benchmarks.images import writing
from benchmarks.images.writing import through_jpeg
from benchmarks.run import embeddings
from benchmarks.scoring.score import FeatureSet, Place, as_json
from sid import atomic, sampling
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.metrics.base import Score
    from benchmarks.scoring.score import Scorer
    from benchmarks.suite.protocol import Protocol
    from sid.condition import Conditions


FIRST = "first"  # name of the first images, which the report shows, in the first shard

RULES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "single": lambda values: values[0],
    "mean": statistics.fmean,
    "minimum": min,
}


@dataclass
class SampleSource:
    """Makes a run's images by sample index."""

    sampler: sampling.Sampler
    conditions: Conditions
    shape: tuple[int, ...]
    steps: int
    captions: embeddings.Captions | None = None
    decode: Callable[[torch.Tensor], torch.Tensor] | None = None
    device: str = field(default_factory=default_device)
    bound: bool = True  # to the protocol's size; a published generator has a size of its own
    quantiser: str = ""  # float to uint8, as the row's source does it; empty: as the protocol says

    def portions(
        self, protocol: Protocol, seed: int, indices: range | None = None
    ) -> Iterator[tuple[np.ndarray, list[str]]]:
        """Images with their captions in the protocol's batches, of these sample indices or of all."""
        indices = range(protocol.samples) if indices is None else indices
        first = indices.start
        for images in sampling.pictures(
            self.sampler,
            self.conditions,
            self.shape,
            indices,
            seed,
            protocol.batch,
            self.device,
            self.decode,
            self.quantiser or protocol.rules.quantiser,
        ):
            batch = range(first, first + len(images))
            first = batch.stop
            if self.bound and protocol.rules.size not in (None, images.shape[-1]):
                raise Fault(
                    f"the model makes pictures of {images.shape[-1]} pixels, and the protocol {protocol.name} scores "
                    f"those of {protocol.rules.size}: give the teacher that resolution, or name another protocol"
                )
            images = through_jpeg(images) if protocol.rules.file == "jpeg-75" else images
            yield images, self.captions.of(batch) if self.captions is not None else []


@dataclass
class ScoredImages:
    """What a run reports of its images."""

    metrics: dict[str, Any]  # as in scores.json
    count: int
    images: np.ndarray  # the first ones
    captions: list[str]


def score_dataset(name: str, scorer: Scorer, shown: int) -> ScoredImages:
    """The held-out images themselves: the floor of a distance. `shown` images are returned."""
    dataset = open_dataset(name)
    images, captions = dataset.images("heldout"), dataset.captions("heldout") if dataset.captioned else []
    return ScoredImages(as_json(scorer.score(images, captions)), len(images), images[:shown], captions[:shown])


def score_source(source: SampleSource, protocol: Protocol, scorer: Scorer, shown: int, folder: Path) -> ScoredImages:
    """The samples' scores by the protocol. Each trial has its own seed: the protocol's, the next one, and so on.

    Args:
        source: makes the samples.
        protocol: their number, seed and trials.
        scorer: of the protocol's columns.
        shown: how many of the first images are returned.
        folder: of the shards, where the protocol has any.
    """
    trials, first, count = [], np.empty(0, np.uint8), 0
    for trial in range(protocol.selection.trials):
        seed = protocol.seed + trial
        if protocol.in_shards:
            features, images = _look_in_shards(source, protocol, seed, scorer, folder, shown)
        else:
            features, images = _look_at_once(source, protocol, seed, scorer, shown)
        first = images if trial == 0 else first
        trials.append(scorer.score(features))
        count = features.count
    captions = source.captions.of(range(len(first))) if source.captions is not None else []
    return ScoredImages(select(trials, protocol), count, first, captions)


def sample_shards(source: SampleSource, protocol: Protocol, scorer: Scorer, folder: Path, shown: int) -> None:
    """Ranks above 0 sample their shards, where the protocol has any; rank 0 scores."""
    if protocol.in_shards:
        for trial in range(protocol.selection.trials):
            make_shards(source, protocol, protocol.seed + trial, scorer, folder, shown)


def select(trials: list[dict[str, Score]], protocol: Protocol) -> dict[str, Any]:
    """The number by the protocol's rule; every trial's and those of other published rules in its details."""
    metrics = as_json(trials[0])
    if len(trials) == 1:
        return metrics
    metrics = {name: metric for name, metric in metrics.items() if all(name in trial for trial in trials)}
    for name, metric in metrics.items():
        values = [trial[name].value for trial in trials]
        metric["value"] = RULES[protocol.selection.rule](values)
        metric["details"] |= {"trials": values, "rule": protocol.selection.rule, **_alternatives(values, protocol)}
    return metrics


def _alternatives(values: list[float], protocol: Protocol) -> Mapping[str, float]:
    """Other papers' rules on the same trials; those that need more trials than there are, are left out."""
    fitting = {name: rule for name, rule in protocol.alternatives.items() if rule.trials <= len(values)}
    return {name: RULES[rule.rule](values[: rule.trials]) for name, rule in fitting.items()}


def _look_at_once(
    source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, shown: int
) -> tuple[FeatureSet, np.ndarray]:
    """The features of all samples, and the first images."""
    features, first = FeatureSet(), list[np.ndarray]()
    for images, captions in source.portions(protocol, seed):
        first.append(images[: max(shown - features.count, 0)].copy())
        scorer.look(images, captions, features)
    return features, np.concatenate(first)


def _look_in_shards(
    source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int
) -> tuple[FeatureSet, np.ndarray]:
    """The same, from shards on disk; those that are missing are made."""
    make_shards(source, protocol, seed, scorer, folder, shown)
    features, first = FeatureSet(), np.empty(0, np.uint8)
    for number, indices in enumerate(shard_ranges(protocol)):
        shard = _read_shard(_shard_file(folder, seed, number), scorer)
        assert shard is not None, "made above"
        first = shard[FIRST] if number == 0 else first
        for place in scorer.places:
            features.portions.setdefault(place, []).append(shard[_array_name(place)])
        features.captions += source.captions.of(indices) if source.captions is not None else []
        features.count += len(indices)
    return features, first


def make_shards(source: SampleSource, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int) -> None:
    """Samples the shards of a seed that are not on disk yet; `shown` images are stored in the first."""
    ranges = shard_ranges(protocol)
    for number in shard_order(len(ranges)):
        file = _shard_file(folder, seed, number)
        if _read_shard(file, scorer) is None:
            _make_shard(source, protocol, seed, ranges[number], scorer, file, shown)


def shard_ranges(protocol: Protocol) -> list[range]:
    """The sample indices of each shard; one for all where the protocol has none."""
    size = protocol.shard or protocol.samples
    return [range(first, min(first + size, protocol.samples)) for first in range(0, protocol.samples, size)]


def shard_order(count: int) -> Iterator[int]:
    """This rank's shards, then the others' from the last: a rank that finishes early helps, and none is waited for."""
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    own = range(rank, count, world)
    yield from own
    yield from (number for number in reversed(range(count)) if number not in own)


def _make_shard(
    source: SampleSource, protocol: Protocol, seed: int, indices: range, scorer: Scorer, file: Path, shown: int
) -> None:
    from safetensors.numpy import save

    features, pictures, first = FeatureSet(), [], [np.empty(0, np.uint8)]
    for images, captions in source.portions(protocol, seed, indices):
        if not indices.start:
            first = [*(first if features.count else []), images[: max(shown - features.count, 0)]]
        pictures += [images] if protocol.keep_images else []
        scorer.look(images, captions, features)
    if pictures:
        facts = {"seed": seed, "first": indices.start, "protocol": protocol.name}
        writing.write(file.with_suffix(".zip"), np.concatenate(pictures), facts)
    arrays = {_array_name(place): np.ascontiguousarray(features.of(place)) for place in scorer.places}
    metadata = {"weights": json.dumps(scorer.weights, sort_keys=True)}
    # Written last: a shard that exists is complete.
    atomic.write_bytes(file, save({**arrays, FIRST: np.ascontiguousarray(np.concatenate(first))}, metadata))


def _read_shard(file: Path, scorer: Scorer) -> dict[str, np.ndarray] | None:
    """The arrays of a shard with all places of these very networks; None for any other."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as shard:
            weights = json.loads((shard.metadata() or {}).get("weights", "{}"))
            names = set(shard.keys())
            if weights != scorer.weights or not {FIRST, *map(_array_name, scorer.places)} <= names:
                return None
            return {name: shard.get_tensor(name) for name in names}
    except (OSError, SafetensorError, ValueError):
        return None


def _shard_file(folder: Path, seed: int, number: int) -> Path:
    return folder / f"seed-{seed}" / f"{number:05d}.safetensors"


def _array_name(place: Place) -> str:
    return "|".join(place)

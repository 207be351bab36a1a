"""One score of a row: the images of one trial, or of the several that a protocol averages or takes the best of."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import shards
from benchmarks.data.open import open_dataset
from benchmarks.scoring.portions import Seen, as_json

if TYPE_CHECKING:
    from benchmarks.metrics.base import Score
    from benchmarks.run.runner import Source
    from benchmarks.scoring.portions import Scorer
    from benchmarks.suite.protocol import Protocol


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


def of_source(source: Source, protocol: Protocol, scorer: Scorer, shown: int, folder: Path) -> Scored:
    """Every trial has its own seed: the protocol's, the next one, and so on. Shards are kept in the folder."""
    tried, first, count = [], np.empty(0, np.uint8), 0
    for trial in range(protocol.selection.trials):
        seed = protocol.seed + trial
        if protocol.in_shards:
            seen, images = shards.look(source, protocol, seed, scorer, folder, shown)
        else:
            seen, images = _at_once(source, protocol, seed, scorer, shown)
        first = images if trial == 0 else first
        tried.append(scorer.score(seen))
        count = seen.count
    told = source.captions.of(range(len(first))) if source.captions is not None else []
    return Scored(selected(tried, protocol), count, first, told)


def help_out(source: Source, protocol: Protocol, scorer: Scorer, folder: Path, shown: int) -> None:
    """What a process does beside the first, which alone scores: its share of the shards, if there are any."""
    if protocol.in_shards:
        for trial in range(protocol.selection.trials):
            shards.make(source, protocol, protocol.seed + trial, scorer, folder, shown)


def _at_once(source: Source, protocol: Protocol, seed: int, scorer: Scorer, shown: int) -> tuple[Seen, np.ndarray]:
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

"""Long samplings in shards by sample index: what was seen of a shard is kept, and a killed run goes on from it.

Noise belongs to sample indices, so the shards are the same whoever makes them. Processes are told apart by RANK and
WORLD_SIZE: each makes its own shards first and then, from the far end, those that are still missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.images import writing
from benchmarks.scoring.portions import Place, Scorer, Seen
from sid import atomic

if TYPE_CHECKING:
    from benchmarks.run.runner import Source
    from benchmarks.suite.protocol import Protocol

FIRST = "first"  # the images that the page shows, in the first shard


def look(
    source: Source, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int
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


def make(source: Source, protocol: Protocol, seed: int, scorer: Scorer, folder: Path, shown: int) -> None:
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
    source: Source, protocol: Protocol, seed: int, indices: range, scorer: Scorer, file: Path, shown: int
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

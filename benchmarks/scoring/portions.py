"""Images in, scores out, by a protocol: every extractor sees each image once, for all the metrics that read it.

Images may come in portions (`look`), so that 30,000 pictures of 512 pixels are never held at once: what is kept are
their features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data.open import open_dataset
from benchmarks.data.prompts import prompt_list
from benchmarks.features.extraction import extract, features_in_parts
from benchmarks.features.store import Store
from benchmarks.images.reading import Array, Images
from benchmarks.suite import components
from benchmarks.suite.digests import seeded
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor
    from benchmarks.images.geometry import Geometry as Pixels
    from benchmarks.metrics.base import Score
    from benchmarks.suite.protocol import Column, Protocol


Place = tuple[str, str]  # (geometry, "<extractor>.<output>"): equal places hold comparable features


@dataclass
class Seen:
    """The features of the images looked at so far."""

    parts: dict[Place, list[np.ndarray]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    count: int = 0

    def of(self, place: Place) -> np.ndarray:
        return np.concatenate(self.parts[place])


class Scorer:
    """The metrics of a protocol with their extractors opened and their references' features at hand."""

    def __init__(
        self,
        protocol: Protocol,
        weights: Mapping[str, str],
        device: str = "cpu",
        random_weights: int | None = None,
        store: Path | None = None,
    ):
        """`store` keeps the references' features for all runs; those of networks trained here are made each time."""
        self.protocol = protocol
        self.store = Store(store) if store is not None else None
        self.unavailable: dict[str, str] = {}  # column -> why it can't be computed here
        self.weights: dict[str, str] = {}  # extractor -> sha256 or "random-<seed>"
        self._extractors: dict[str, Extractor] = {}
        self._references: dict[tuple[Place, str, str], np.ndarray] = {}
        self._subsets: dict[str, frozenset[str]] = {}
        for name, column in protocol.metrics.items():
            try:
                self._open(column, weights, device, random_weights)
                self._reference(column)
                if column.only is not None:
                    self._subsets[name] = frozenset(prompt_list(column.only))
            except Fault as fault:
                self.unavailable[name] = " ".join(fault.sentences)

    def _open(self, column: Column, weights: Mapping[str, str], device: str, random_weights: int | None) -> None:
        name = seeded(column.extractor, column.seed)
        if name in self._extractors:
            return
        extractor = components.extractors()[column.extractor]
        folder = Path(weights[name]) if name in weights else None
        if extractor.trained_here and folder is not None:
            self._extractors[name] = extractor.trained(folder, open_dataset(extractor.data), device)
        elif random_weights is not None and not extractor.trained_here:
            self._extractors[name] = extractor.random(random_weights, device)
        else:
            self._extractors[name] = extractor.open(folder, device)
        if identity := self._extractors[name].identity:
            self.weights[name] = identity

    @property
    def columns(self) -> dict[str, Column]:
        """Those that can be computed."""
        return {name: column for name, column in self.protocol.metrics.items() if name not in self.unavailable}

    @property
    def places(self) -> list[Place]:
        """What is kept of every image."""
        return [
            (geometry.identity, f"{extractor}.{output}")
            for geometry, wanted in self._wanted().items()
            for extractor, outputs in wanted.items()
            for output in outputs
        ]

    def look(self, images: np.ndarray | Images, captions: Sequence[str] = (), seen: Seen | None = None) -> Seen:
        """The features of these images, added to those of the images before."""
        seen = Seen() if seen is None else seen
        held = Array(images) if isinstance(images, np.ndarray) else images
        for geometry, wanted in self._wanted().items():
            found = extract(
                held, wanted, self._extractors, geometry, self.protocol.batch, captions=list(captions) or None
            )
            for key, array in found.features.items():
                seen.parts.setdefault((geometry.identity, key), []).append(array)
        seen.captions += captions
        seen.count += len(held)
        return seen

    def score(self, images: np.ndarray | Images | Seen, captions: Sequence[str] = ()) -> dict[str, Score]:
        """Every column of the protocol, for images or for what was seen of them."""
        seen = images if isinstance(images, Seen) else self.look(images, captions)
        scores = {}
        for name, column in list(self.columns.items()):
            read = self._features(name, column, seen)
            reference = self._reference(column)
            held = None if reference is None else {column.features: reference}
            try:
                scores[name] = components.metrics()[column.metric].compute(read, held, **column.options)
            except Fault as fault:  # too few images for this one, say: the others go on
                self.unavailable[name] = " ".join(fault.sentences)
        return scores

    def values(self, images: np.ndarray | Images | Seen, captions: Sequence[str] = ()) -> dict[str, float]:
        """The numbers alone, for a curve."""
        return {name: score.value for name, score in self.score(images, captions).items()}

    def _wanted(self) -> dict[Pixels, dict[str, list[str]]]:
        """geometry -> extractor -> outputs, each once."""
        wanted: dict[Pixels, dict[str, list[str]]] = {}
        for column in self.columns.values():
            outputs = wanted.setdefault(pixels(column), {}).setdefault(seeded(column.extractor, column.seed), [])
            pairs = components.extractors()[column.extractor].pairs
            outputs += [
                name for name in ([column.output, "truncated"] if pairs else [column.output]) if name not in outputs
            ]
        return wanted

    def _features(self, name: str, column: Column, seen: Seen) -> dict[str, np.ndarray]:
        """What the column's metric reads, under the extractor's own name whatever its seed."""
        extractor, geometry = seeded(column.extractor, column.seed), pixels(column).identity
        features = {column.features: seen.of((geometry, f"{extractor}.{column.output}"))}
        if (geometry, f"{extractor}.truncated") in seen.parts:
            features[f"{column.extractor}.truncated"] = seen.of((geometry, f"{extractor}.truncated"))
        if reads_text(column):
            # The metric's own default where the protocol is silent: what is told is what was embedded.
            template = components.metrics()[column.metric].option("template", column.options) or ""
            found = self._extractors[extractor].texts(seen.captions, template)
            features |= {f"{column.extractor}.{output}": array for output, array in found.items()}
        if name in self._subsets:
            rows = np.array([caption in self._subsets[name] for caption in seen.captions])
            features = {key: array[rows] for key, array in features.items()}
        return features

    def _reference(self, column: Column) -> np.ndarray | None:
        if column.reference is None:
            return None
        extractor, geometry = seeded(column.extractor, column.seed), pixels(column)
        place = (geometry.identity, f"{extractor}.{column.output}")
        key = (place, column.reference.data, column.reference.split)
        if key not in self._references:
            images = open_dataset(column.reference.data).source(column.reference.split)
            opened, batch = self._extractors[extractor], self.protocol.batch
            if self.store is None or opened.trained_here:
                found = extract(images, {extractor: [column.output]}, self._extractors, geometry, batch)
                self._references[key] = found.features[place[1]]
            else:
                self._references[key] = features_in_parts(images, opened, column.output, geometry, self.store, batch)
        return self._references[key]


def pixels(column: Column) -> Pixels:
    """A column's crop and resize, as the extraction reads it."""
    from benchmarks.images.geometry import Geometry

    return Geometry(column.geometry.crop, column.geometry.side, column.geometry.filter)


def reads_text(column: Column) -> bool:
    """Whether the metric compares images with captions by embeddings of both."""
    return any(key.endswith(".text") for key in components.metrics()[column.metric].features)


def as_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores as scores.json holds them."""
    return {
        name: {"value": score.value, "details": score.details, "warnings": list(score.warnings)}
        for name, score in scores.items()
    }

"""Images in, scores out, by a protocol: each extractor runs once for all the metrics that read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import components
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.extractor import Extractor
    from benchmarks.metric import Score
    from benchmarks.protocol import Column, Protocol


class Scorer:
    """The metrics of a protocol with their extractors opened and their references' features at hand."""

    def __init__(self, protocol: Protocol, weights: Mapping[str, str], device: str = "cpu"):
        self.protocol = protocol
        self.unavailable: dict[str, str] = {}  # column -> why it can't be computed here
        self._extractors: dict[str, Extractor] = {}
        self._references: dict[tuple[str, str, str], np.ndarray] = {}
        for name, column in protocol.metrics.items():
            try:
                if column.extractor not in self._extractors:
                    folder = weights.get(column.extractor)
                    opened = components.extractors()[column.extractor].open(Path(folder) if folder else None, device)
                    self._extractors[column.extractor] = opened
                self._reference(column)
            except Fault as fault:
                self.unavailable[name] = " ".join(fault.sentences)

    def score(self, images: np.ndarray) -> dict[str, Score]:
        """Every column of the protocol for uint8 images [N, C, H, W]."""
        read = {column.extractor for name, column in self.protocol.metrics.items() if name not in self.unavailable}
        features = {name: self._features(name, images) for name in sorted(read)}
        scores = {}
        for name, column in self.protocol.metrics.items():
            if name in self.unavailable:
                continue
            reference = self._reference(column)
            scores[name] = components.metrics()[column.metric].compute(
                {column.features: features[column.extractor][column.output]},
                None if reference is None else {column.features: reference},
                **column.options,
            )
        return scores

    def values(self, images: np.ndarray) -> dict[str, float]:
        """The numbers alone, for a curve."""
        return {name: score.value for name, score in self.score(images).items()}

    def _features(self, extractor: str, images: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        network, parts = self._extractors[extractor], []
        with torch.no_grad():
            for first in range(0, len(images), self.protocol.batch):
                parts.append(network(torch.from_numpy(images[first : first + self.protocol.batch])))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _reference(self, column: Column) -> np.ndarray | None:
        if column.reference is None:
            return None
        key = (column.features, column.reference.data, column.reference.split)
        if key not in self._references:
            images = components.datasets()[column.reference.data].images(column.reference.split)
            self._references[key] = self._features(column.extractor, images)[column.output]
        return self._references[key]


def as_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores as scores.json holds them."""
    return {
        name: {"value": score.value, "details": score.details, "warnings": list(score.warnings)}
        for name, score in scores.items()
    }

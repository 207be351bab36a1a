"""Coverage: the share of reference neighbourhoods that hold an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import neighbours
from benchmarks.metrics.base import Metric, Score, only

if TYPE_CHECKING:
    import numpy as np


class Coverage(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "coverage"
    version = 1
    paper = "Naeem et al., Reliable Fidelity and Diversity Metrics, arXiv 2002.09797"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {"prdc": {"k": 5, "strict": True}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 5,
        strict: bool = True,
    ) -> Score:
        images, compared = only(features, self.name), only(reference, self.name)
        found = neighbours.balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.coverage, details)

"""Recall: the share of reference images that lie in an image's neighbourhood."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from benchmarks.metrics import neighbours
from benchmarks.metrics.base import Metric, Score, only

if TYPE_CHECKING:
    import numpy as np


class Recall(Metric):
    """Balls reach to the k-th neighbour; a point on the rim is inside unless `strict`."""

    name = "recall"
    version = 1
    paper = "Kynkaanniemi et al., Improved Precision and Recall Metric, arXiv 1904.06991"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.pool3",)
    variants: ClassVar = {
        "sid": {"k": 3, "strict": False},  # on Inception pool3, in float16 there
        "torch-fidelity": {"k": 3, "strict": False},
        "prdc": {"k": 5, "strict": True},
    }

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        k: int = 3,
        strict: bool = False,
    ) -> Score:
        images, compared = only(features, self.name), only(reference, self.name)
        found = neighbours.balls(images, compared, k, strict)
        details = {"k": k, "strict": strict, "count": len(images), "reference_count": len(compared)}
        return Score(found.recall, details)

"""R-precision: how often an image's own caption is the nearest of all captions. It measures composition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score
from sid.fault import Fault

ROWS = 512  # images in a block, whose cosines with every caption are in memory at once


class RPrecision(Metric):
    """The candidates are the distinct captions of the images that are scored together."""

    name = "r-precision"
    version = 1
    paper = "Park et al., Benchmark for Compositional Text-to-Image Synthesis, NeurIPS 2021 Datasets and Benchmarks"
    verified = "layout"
    direction = "higher"
    features: ClassVar[tuple[str, ...]] = ("shapes-clip.image", "shapes-clip.text")
    reference = False

    def compute(self, features: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray] | None = None) -> Score:
        model, images = text_image.embeddings_named(features, "image", self.name)
        _, captions = text_image.embeddings_named(features, "text", self.name)
        text_image.refuse_unpaired(images, captions, self.name)
        distinct, own = np.unique(captions, axis=0, return_inverse=True)
        if len(distinct) < 2:
            raise Fault(f"{self.name} needs at least two different captions")
        candidates, pictures = (text_image.unit_length(embeddings, self.name) for embeddings in (distinct, images))
        starts = range(0, len(pictures), ROWS)
        nearest = np.concatenate([(pictures[first : first + ROWS] @ candidates.T).argmax(axis=1) for first in starts])
        share = float((nearest == own.ravel()).mean())
        return Score(share, {"model": model, "candidates": len(distinct), "count": len(images)})

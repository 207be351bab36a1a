"""Metrics of pairs of images: how far images of one prompt are apart, and how alike two images are in style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score, feature_matrix, same_dimension, single_entry
from sid.fault import Fault


class LpipsDiversity(Metric):
    """Mean LPIPS over the pairs of images of one prompt, then over the prompts.

    DMD2's table 6 has four images a prompt, on the prompts of PartiPrompts that LADD selects. It states neither the
    network nor the size of the images. Here it is AlexNet at 256 pixels: compare with the table's order, not
    with its digits.
    """

    name = "lpips-diversity"
    version = 1
    paper = "Yin et al., Improved Distribution Matching Distillation, arXiv 2405.14867, appendix B"
    verified = "layout"
    direction = "higher"
    features = ("lpips-alex.maps", "lpips-alex.text")
    of_family = True
    reference = False
    variants: ClassVar = {"dmd2": {"images": 4}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        images: int = 0,
    ) -> Score:
        """`images` is how many every prompt must have; 0 for any number from two on."""
        model, maps = text_image.embeddings_named(features, "maps", self.name)
        _, prompts = text_image.embeddings_named(features, "text", self.name)
        text_image.refuse_unpaired(maps, prompts, self.name)
        maps, own = feature_matrix(maps, self.name), np.asarray(prompts).reshape(len(maps), -1)[:, 0]
        distances = []
        for prompt in np.unique(own):
            rows = np.flatnonzero(own == prompt)
            if len(rows) < 2 or (images and len(rows) != images):
                needed = f"{images} images" if images else "at least 2 images"
                raise Fault(f"{self.name} needs {needed} of every prompt; that of image {rows[0]} has {len(rows)}")
            distances.append(_mean_distance(maps[rows]))
        details: dict[str, Any] = {
            "model": model,
            "std_over_prompts": float(np.std(distances)),
            "prompts": len(distances),
            "count": len(maps),
        }
        return Score(float(np.mean(distances)), details)


def _mean_distance(rows: np.ndarray) -> float:
    """Mean squared distance over all pairs of rows: their Gram matrix is small where the rows are long."""
    exact = rows.astype(np.float64)
    gram = exact @ exact.T
    squares = np.diag(gram)
    pairs = np.triu_indices(len(rows), 1)
    return float((squares[:, None] + squares[None] - 2 * gram)[pairs].mean())


class StyleSimilarity(Metric):
    """Mean cosine of the style embeddings of each image and its reference: image i is compared with reference i."""

    name = "csd"
    version = 1
    paper = "Somepalli et al., Measuring Style Similarity in Diffusion Models, arXiv 2404.01292"
    verified = "layout"
    direction = "higher"
    features = ("csd-vit-l.style",)
    of_family = True
    variants: ClassVar = {"csd": {}}

    def compute(self, features: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray] | None = None) -> Score:
        images, compared = single_entry(features, self.name), single_entry(reference, self.name)
        if len(images) != len(compared):
            raise Fault(f"{self.name} pairs image i with reference i: {len(images)} images, {len(compared)} references")
        same_dimension(images.shape[1], compared.shape[1])
        cosines = text_image.cosines(images, compared, self.name)
        moved = text_image.cosines(images, np.roll(compared, 1, axis=0), self.name)
        details = {"std": float(cosines.std()), "references_moved": float(moved.mean()), "count": len(cosines)}
        return Score(float(cosines.mean()), details)

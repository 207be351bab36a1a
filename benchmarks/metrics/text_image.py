"""Metrics of image-caption agreement: CLIP score, HPSv2 and PickScore, a scaled mean cosine of embeddings.

A new one is a class that names its extractor's `image` and `text` outputs in `features` and returns `mean_cosine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.metrics.base import Metric, Score, feature_matrix
from sid.fault import Fault

PREFIX = "A photo depicts "


def embeddings_named(features: Mapping[str, Any], output: str, metric: str) -> tuple[str, Any]:
    """(extractor, array) of the only entry whose name ends with ".<output>"."""
    matches = [(name.rpartition(".")[0], value) for name, value in features.items() if name.endswith("." + output)]
    if len(matches) != 1:
        raise Fault(f"{metric} reads one '{output}' embedding, got {', '.join(features) or 'none'}")
    return matches[0]


def unit_length(embeddings: np.ndarray, what: str) -> np.ndarray:
    """Embeddings scaled to length 1, in float64; a zero embedding has no direction and is refused."""
    embeddings = feature_matrix(embeddings, what, fewest=1).astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not lengths.all():
        raise Fault(f"{what}: the embedding of image {int(np.flatnonzero(lengths == 0)[0])} is zero")
    return embeddings / lengths


def cosines(images: np.ndarray, captions: np.ndarray, what: str) -> np.ndarray:
    """One cosine per pair of image and caption."""
    refuse_unpaired(images, captions, what)
    return (unit_length(images, what) * unit_length(captions, what)).sum(axis=1)


def refuse_unpaired(images: np.ndarray, captions: np.ndarray, what: str) -> None:
    if len(images) != len(captions):
        raise Fault(f"{what}: {len(images)} images but {len(captions)} captions; they must pair up")


def mean_cosine(features: Mapping[str, Any], metric: str, scale: float, clamp: bool = False, **more: Any) -> Score:
    """scale * mean cosine; the details have the same with captions shifted by one image, which is chance level.

    Args:
        features: "<extractor>.image" and ".text"; ".truncated", if there, marks captions that were cut.
        metric: its name, for messages.
        scale: of the cosine.
        clamp: whether a negative cosine counts as 0.
        more: further details of the score.
    """
    model, images = embeddings_named(features, "image", metric)
    _, captions = embeddings_named(features, "text", metric)
    paired = cosines(images, captions, metric)
    moved = cosines(images, np.roll(captions, 1, axis=0), metric)
    if clamp:
        paired, moved = np.maximum(paired, 0), np.maximum(moved, 0)
    details: dict[str, Any] = {
        "model": model,
        "scale": scale,
        "std": scale * float(paired.std()),
        "captions_moved": scale * float(moved.mean()),
        "count": len(paired),
        **more,
    }
    warnings = []
    cut = features.get(f"{model}.truncated")
    if cut is not None:
        details["truncated"] = int(np.sum(cut))
        if details["truncated"]:
            warnings.append(f"{details['truncated']} of {len(cut)} captions are longer than the model reads")
    return Score(scale * float(paired.mean()), details, tuple(warnings))


class ClipScore(Metric):
    """The extractor embeds the captions with the template; here the template is only noted in the details."""

    name = "clip-score"
    version = 1
    paper = "Hessel et al., CLIPScore, arXiv 2104.08718"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-g-14.image", "clip-vit-g-14.text")
    reference = False
    variants: ClassVar = {
        "gigagan-coco30k": {"template": PREFIX, "scale": 1.0},  # also DMD, DMD2, SiD-LSG's final number; ViT-g-14
        # SiD-LSG's score during training has no prefix and resizes without antialiasing: not offered.
        "mlcommons-sdxl": {"template": "", "scale": 100.0},  # ViT-B/32 of OpenAI
        "hessel": {"template": PREFIX, "scale": 2.5, "clamp": True},  # ViT-B/32 of OpenAI
    }
    variant_extractors: ClassVar = {"mlcommons-sdxl": "clip-vit-b-32", "hessel": "clip-vit-b-32"}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 1.0,
        clamp: bool = False,
        template: str = PREFIX,
    ) -> Score:
        return mean_cosine(features, self.name, scale, clamp, template=template)


class Hpsv2(Metric):
    """The checkpoint (v2.0 or v2.1) is the extractor's. The benchmark scores JPEG files of quality 75."""

    name = "hpsv2"
    version = 1
    paper = "Wu et al., Human Preference Score v2, arXiv 2306.09341"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-h-14-hps-2.1.image", "clip-vit-h-14-hps-2.1.text")
    of_family = True
    reference = False
    variants: ClassVar = {
        "score": {"scale": 1.0},  # the package's score(): v2.0, raw cosine
        "evaluate": {"scale": 100.0},  # its evaluate(): v2.1, times 100
        # The same since torchvision 0.17, which antialiases floats; the two above are those of the paper's date.
        "score-torchvision-0.17": {"scale": 1.0},
        "evaluate-torchvision-0.17": {"scale": 100.0},
    }
    variant_extractors: ClassVar = {
        "score": "clip-vit-h-14-hps-2.0",
        "score-torchvision-0.17": "clip-vit-h-14-hps-2.0-antialias",
        "evaluate-torchvision-0.17": "clip-vit-h-14-hps-2.1-antialias",
    }

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 100.0,
    ) -> Score:
        return mean_cosine(features, self.name, scale)


class PickScore(Metric):
    """Published values of 0.21-0.23 are cosines; those of 20-23 are multiplied by the logit scale."""

    name = "pickscore"
    version = 1
    paper = "Kirstain et al., Pick-a-Pic, arXiv 2305.01569"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-h-14-pick.image", "clip-vit-h-14-pick.text")
    of_family = True
    reference = False
    variants: ClassVar = {"cosine": {"scale": 1.0}, "logit": {"scale": 100.0}}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 1.0,
    ) -> Score:
        return mean_cosine(features, self.name, scale)

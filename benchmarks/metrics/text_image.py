"""Mean cosine of images with their captions, the base of CLIP score, HPSv2 and PickScore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from benchmarks.metrics import frechet
from benchmarks.metrics.base import Metric, Score
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np


def part(features: Mapping[str, Any], output: str, metric: str) -> tuple[str, Any]:
    """(extractor, array) of the one entry called "<extractor>.<output>"."""
    found = [(name.rpartition(".")[0], value) for name, value in features.items() if name.endswith("." + output)]
    if len(found) != 1:
        raise Fault(f"{metric} reads one '{output}' embedding, got {', '.join(features) or 'none'}")
    return found[0]


def unit(embeddings: np.ndarray, what: str) -> np.ndarray:
    """Embeddings of length one in float64; a zero one has no direction and is refused."""
    embeddings = frechet.check(embeddings, what, fewest=1).astype(np.float64)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not lengths.all():
        raise Fault(f"{what}: the embedding of image {int(np.flatnonzero(lengths == 0)[0])} is zero")
    return embeddings / lengths


def cosines(images: np.ndarray, captions: np.ndarray, what: str) -> np.ndarray:
    """One cosine per pair; the counts must be equal, never cut to the shorter."""
    if len(images) != len(captions):
        raise Fault(f"{what}: {len(images)} images but {len(captions)} captions; they must pair up")
    return (unit(images, what) * unit(captions, what)).sum(axis=1)


def score(features: Mapping[str, Any], metric: str, scale: float, clamp: bool = False, **told: Any) -> Score:
    """scale * mean cosine, beside it the same with captions moved by one: what chance gives."""
    model, images = part(features, "image", metric)
    _, captions = part(features, "text", metric)
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
        **told,
    }
    warnings = []
    cut = features.get(f"{model}.truncated")
    if cut is not None:
        details["truncated"] = int(np.sum(cut))
        if details["truncated"]:
            warnings.append(f"{details['truncated']} of {len(cut)} captions are longer than the model reads")
    return Score(scale * float(paired.mean()), details, tuple(warnings))


PREFIX = "A photo depicts "


class ClipScore(Metric):
    """Captions are embedded by the extractor, with the template named there; here it is only told."""

    name = "clip-score"
    version = 1
    paper = "Hessel et al., CLIPScore, arXiv 2104.08718"
    verified = "layout"
    direction = "higher"
    features = ("clip-vit-g-14.image", "clip-vit-g-14.text")
    reference = False
    variants: ClassVar = {
        "gigagan-coco30k": {"template": PREFIX, "scale": 1.0},  # also DMD, DMD2, SiD-LSG's final number; ViT-g-14
        # SiD-LSG's score while it trains has no prefix and resizes without antialiasing: another number, not offered.
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
        return score(features, self.name, scale, clamp, template=template)


class Hpsv2(Metric):
    """The checkpoint (v2.0 or v2.1) is the extractor's; the benchmark's images are JPEG files of quality 75."""

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
    }
    variant_extractors: ClassVar = {"score": "clip-vit-h-14-hps-2.0"}

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        scale: float = 100.0,
    ) -> Score:
        return score(features, self.name, scale)


class PickScore(Metric):
    """Tables that print 0.21-0.23 leave out the logit scale; those that print 20-23 multiply by it."""

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
        return score(features, self.name, scale)

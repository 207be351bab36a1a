"""Metrics of image-caption agreement: CLIP score, HPSv2 and PickScore, a scaled mean cosine of embeddings.

Three more read the pair together: HPSv3, and by questions VQAScore and DPG-Bench, whose judge is not their papers'.

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


class Hpsv3(Metric):
    """Mean of the means that HPSv3's head gives for image and prompt; sigma is a detail."""

    name = "hpsv3"
    version = 1
    paper = "Ma et al., HPSv3: Towards Wide-Spectrum Human Preference Score, arXiv 2508.03789"
    verified = "layout"
    direction = "higher"
    features = ("hpsv3.preference",)
    of_family = True
    reference = False
    variants: ClassVar = {"mean": {}}

    def compute(self, features: Mapping[str, Any], reference: Mapping[str, Any] | None = None) -> Score:
        model, made = embeddings_named(features, "preference", self.name)
        values = feature_matrix(np.asarray(made), self.name, fewest=1).astype(np.float64)
        if values.shape[1] != 2:
            raise Fault(f"{self.name} reads a mean and a sigma per image, got {values.shape[1]} numbers")
        mean, sigma = values.T
        details = {"model": model, "std": float(mean.std()), "sigma": float(sigma.mean()), "count": len(mean)}
        return Score(float(mean.mean()), details)


class VqaScore(Metric):
    """Mean probability that "Does this figure show ...?" is answered "yes".

    The judge is BLIP of transformers. The paper's own is CLIP-FlanT5, whose class transformers lacks: its values can't
    be compared with these.
    """

    name = "vqascore-blip"
    version = 1
    paper = "Lin et al., Evaluating Text-to-Visual Generation with Image-to-Text Generation, arXiv 2404.01291"
    verified = "layout"
    direction = "higher"
    features = ("blip-vqa.yes",)
    of_family = True
    reference = False
    variants: ClassVar = {"question": {}}

    def compute(self, features: Mapping[str, Any], reference: Mapping[str, Any] | None = None) -> Score:
        model, yes = embeddings_named(features, "yes", self.name)
        values = feature_matrix(np.asarray(yes), self.name, fewest=1)[:, 0].astype(np.float64)
        cut = int(np.sum(features.get(f"{model}.truncated", 0)))
        warnings = (f"{cut} of {len(values)} captions are longer than the judge reads",) if cut else ()
        return Score(float(values.mean()), {"model": model, "std": float(values.std()), "count": len(values)}, warnings)


class DpgBench(Metric):
    """100 x the mean share of an image's questions that are answered yes, where a parent's no is the children's too.

    The judge is BLIP of transformers. DPG-Bench's own is mPLUG-large: its values can't be compared with these. Images
    of one prompt are scored alone; DPG-Bench takes four from a grid, which is the same mean.
    """

    name = "dpg-bench-blip"
    version = 1
    paper = "Hu et al., ELLA: Equip Diffusion Models with LLM for Enhanced Semantic Alignment, arXiv 2403.05135"
    verified = "layout"
    direction = "higher"
    features = ("blip-vqa-dpg.score", "blip-vqa-dpg.parts")
    of_family = True
    reference = False
    variants: ClassVar = {"questions": {}}
    parts: ClassVar = ("global", "entity", "attribute", "relation", "other")

    def compute(self, features: Mapping[str, Any], reference: Mapping[str, Any] | None = None) -> Score:
        model, scores = embeddings_named(features, "score", self.name)
        _, sums = embeddings_named(features, "parts", self.name)
        values = feature_matrix(np.asarray(scores), self.name, fewest=1)[:, 0].astype(np.float64)
        totals = feature_matrix(np.asarray(sums), self.name, fewest=1).sum(axis=0)
        if len(totals) != 2 * len(self.parts):
            raise Fault(f"{self.name} reads {len(self.parts)} categories, got {len(totals) / 2:g}")
        by_part = {
            part: 100 * float(totals[2 * at] / totals[2 * at + 1])
            for at, part in enumerate(self.parts)
            if totals[2 * at + 1]
        }
        details = {"model": model, **by_part, "std": 100 * float(values.std()), "count": len(values)}
        cut = int(np.sum(features.get(f"{model}.truncated", 0)))
        warnings = (f"questions of {cut} images are longer than the judge reads",) if cut else ()
        return Score(100 * float(values.mean()), details, warnings)

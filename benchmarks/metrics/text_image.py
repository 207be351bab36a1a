"""Mean cosine of images with their captions, the base of CLIP score, HPSv2 and PickScore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import frechet
from benchmarks.metrics.base import Score
from sid.fault import Fault


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

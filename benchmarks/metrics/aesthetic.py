"""LAION's improved aesthetic predictor on unit-norm OpenAI CLIP ViT-L/14 embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.assets import Weight, locate, tensors
from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score, single_entry
from sid.fault import Fault

SOURCE = "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
LAYERS = {"linear": (0, 2, 4, 6, 7), "relu": (0, 3, 6, 9, 11)}
WIDTHS = (768, 1024, 128, 64, 16, 1)


def _weight(file: str, sha256: str, size: int) -> Weight:
    return Weight(
        file.removesuffix(".pth"),
        "aesthetic head",
        (file,),
        "Apache-2.0",
        SOURCE + file.replace("+", "%2B"),
        sha256,
        size,
    )


HEADS = {
    "sac": _weight(
        "sac+logos+ava1-l14-linearMSE.pth", "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0", 3714759
    ),
    "ava-linear": _weight(
        "ava+logos-l14-linearMSE.pth", "390a3aafaf3b37d57148f9b22f30556de38343064b7d915acfa80d3812b4c9ff", 3714759
    ),
    "ava-relu": _weight(
        "ava+logos-l14-reluMSE.pth", "0af3254c651d55b7ea851429c20f26ec880bb0169805a4df85b814bd7966f3e4", 3714887
    ),
}


class Aesthetic(Metric):
    """A linear head has no activations: its five layers fold to 768 + 1 numbers."""

    name = "aesthetic"
    version = 1
    paper = "Schuhmann et al., LAION-5B, arXiv 2210.08402"
    verified = "weights"
    direction = "higher"
    features = ("clip-vit-l-14.image",)
    of_family = True
    reference = False
    weights = tuple(HEADS.values())
    variants: ClassVar = {name: {"head": name} for name in HEADS}

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> tuple[Weight, ...]:
        head = cls.option("head", options)
        return (HEADS[head],) if head in HEADS else cls.weights

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        head: str = "sac",
        file: str | Path | None = None,
    ) -> Score:
        """`head` names a published file; `file` is its path if given by hand, refused if its sha256 differs."""
        if head not in HEADS:
            raise Fault(f"aesthetic: unknown head '{head}'; known: {', '.join(HEADS)}")
        layers = read(locate(HEADS[head], None if file is None else Path(file)))
        embeddings = text_image.unit_length(single_entry(features, self.name), self.name)
        if embeddings.shape[1] != WIDTHS[0]:
            raise Fault(f"aesthetic reads ViT-L/14 embeddings of {WIDTHS[0]} dimensions, got {embeddings.shape[1]}")
        scores = apply(layers, embeddings)
        details = {"head": head, "std": float(scores.std()), "count": len(scores), "normalised": True}
        return Score(float(scores.mean()), details)


class AestheticHead:
    """Weights and biases of the five layers, and whether ReLUs are between them."""

    def __init__(self, layers: list[tuple[np.ndarray, np.ndarray]], relu: bool):
        self.layers, self.relu = layers, relu

    def fold(self) -> tuple[np.ndarray, float]:
        """w, b with score = w.e + b; only without ReLUs."""
        assert not self.relu
        matrix: np.ndarray = self.layers[0][0]
        offset: np.ndarray = self.layers[0][1]
        for weight, bias in self.layers[1:]:
            matrix, offset = weight @ matrix, weight @ offset + bias
        return matrix[0], float(offset[0])


def apply(head: AestheticHead, embeddings: np.ndarray) -> np.ndarray:
    """One score per embedding."""
    if not head.relu:
        slope, offset = head.fold()
        return embeddings @ slope + offset
    values = embeddings
    for index, (weight, bias) in enumerate(head.layers):
        values = values @ weight.T + bias
        values = np.maximum(values, 0) if index < len(head.layers) - 1 else values
    return values[:, 0]


def read(path: Path) -> AestheticHead:
    """A head of the published layout; no code in the file is executed."""
    state = tensors(path)
    for kind, indices in LAYERS.items():
        names = [f"layers.{index}.{part}" for index in indices for part in ("weight", "bias")]
        if set(names) == set(state):
            arrays = [state[name].double().numpy() for name in names]
            pairs = list(zip(arrays[0::2], arrays[1::2], strict=True))
            if [weight.shape[1] for weight, _ in pairs] == list(WIDTHS[:-1]):
                return AestheticHead(pairs, kind == "relu")
    raise Fault(f"{path} is no aesthetic head: its tensors are {', '.join(sorted(state)[:4])}, ...")

"""Inception Score: exp E KL(p(y|x) || p(y)) over splits."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np

from benchmarks.metrics.base import Metric, Score, feature_matrix, single_entry
from sid.fault import Fault


class InceptionScore(Metric):
    """Softmax over the 1008 logits without the output bias; meaningful for CIFAR-10 and ImageNet only."""

    name = "inception-score"
    version = 1
    paper = "Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498"
    verified = "layout"
    direction = "higher"
    features = ("inception-tf.logits_unbiased",)
    reference = False
    variants: ClassVar = {
        "stylegan": {"splits": 10, "shuffle": None, "ddof": 0},  # and SiD: in the order of the images
        "torch-fidelity": {"splits": 10, "shuffle": 2020, "ddof": 0},
        "torchmetrics": {"splits": 10, "shuffle": 2020, "ddof": 1},  # its own shuffle uses torch's global generator
    }
    by_code_points = frozenset({"torch-fidelity"})

    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        splits: int = 10,
        shuffle: int | None = None,
        ddof: int = 0,
    ) -> Score:
        logits = feature_matrix(single_entry(features, self.name), self.name)
        if splits < 1:
            raise Fault(f"inception-score: splits must be at least 1 (got {splits})")
        if len(logits) < splits:
            raise Fault(f"inception-score: {len(logits)} images can't be split into {splits} parts")
        if shuffle is not None:
            logits = logits[np.random.RandomState(shuffle).permutation(len(logits))]
        edges = [index * len(logits) // splits for index in range(splits + 1)]
        scores = [one_split(logits[first:last]) for first, last in pairwise(edges)]
        std = float(np.std(scores, ddof=ddof)) if splits > ddof else 0.0
        details = {"std": std, "splits": splits, "shuffle": shuffle, "ddof": ddof, "count": len(logits)}
        return Score(float(np.mean(scores)), details)


def one_split(logits: np.ndarray) -> float:
    """exp of the mean divergence of the images' labels from their marginal, in float64."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_labels = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    labels = np.exp(log_labels)
    marginal = labels.mean(axis=0)
    safe = np.where(marginal > 0, marginal, 1.0)  # a label of no image adds 0 log 0 = 0
    return float(np.exp((labels * (log_labels - np.log(safe))).sum(axis=1).mean()))

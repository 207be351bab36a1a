"""ImageReward: a BLIP network's reward of image and prompt, normalised as published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from benchmarks.metrics import text_image
from benchmarks.metrics.base import Metric, Score, feature_matrix
from sid.fault import Fault

if TYPE_CHECKING:
    from typing import Any

MEAN, STD = 0.16717362830052426, 1.0333394966054072  # of the rewards on the authors' data


class ImageReward(Metric):
    """The extractor gives one raw reward per image and prompt; prompts longer than 35 tokens are cut and counted."""

    name = "image-reward"
    version = 1
    paper = "Xu et al., ImageReward, arXiv 2304.05977"
    verified = "layout"
    direction = "higher"
    features = ("image-reward.reward",)
    of_family = True
    reference = False
    variants: ClassVar = {"v1.0": {}}

    def compute(self, features: Mapping[str, Any], reference: Mapping[str, Any] | None = None) -> Score:
        model, rewards = text_image.embeddings_named(features, "reward", self.name)
        rewards = np.asarray(rewards, dtype=np.float64).reshape(len(rewards), -1)
        if rewards.shape[1] != 1:
            raise Fault(f"{self.name}: one reward per image is needed, got {rewards.shape[1]}")
        normal = (feature_matrix(rewards, self.name, fewest=1) - MEAN) / STD
        details: dict[str, Any] = {"std": float(normal.std()), "count": len(normal)}
        cut = int(np.sum(features.get(f"{model}.truncated", 0)))
        warnings = (f"{cut} of {len(normal)} prompts are longer than the 35 tokens read",) if cut else ()
        return Score(float(normal.mean()), {**details, "truncated": cut}, warnings)

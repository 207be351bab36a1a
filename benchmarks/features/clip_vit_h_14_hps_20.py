"""CLIP ViT-H/14 fine-tuned on human preferences: HPS v2.0."""

from __future__ import annotations

from benchmarks.features.clip import published
from benchmarks.features.preference import HpsExtractor


class ClipVitH14Hps20(HpsExtractor):
    """The checkpoint v2.0."""

    name = "clip-vit-h-14-hps-2.0"
    version = 1
    weights = (published("hps-v2.0", "xswu/HPSv2", "HPS_v2_compressed.pt", licence="Apache-2.0", purpose="HPSv2"),)

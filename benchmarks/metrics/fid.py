"""FID of the TensorFlow family: the number of SiD, EDM, StyleGAN, torch-fidelity and older torchmetrics."""

from __future__ import annotations

from typing import ClassVar

from benchmarks.metrics.frechet import Frechet


class Fid(Frechet):
    """Pool3 of Inception-2015 after the TF1-like resize without antialiasing."""

    name = "fid"
    version = 1
    features = ("inception-tf.pool3",)
    of_family = True
    variants: ClassVar = {
        "edm-fid50k": {"ddof": 1},  # EDM fid.py, sid_generate.py
        "sid-metrics": {"ddof": 0},  # StyleGAN metrics, SiD sid_metrics.py on both sides
    }

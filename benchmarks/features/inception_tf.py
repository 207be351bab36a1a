"""Inception of the TensorFlow family: SiD, EDM, StyleGAN, torch-fidelity, torchmetrics up to 1.7."""

from __future__ import annotations

from benchmarks.features.inception import InceptionExtractor


class InceptionTf(InceptionExtractor):
    """TF1-like bilinear resize, (v-128)/128."""

    name = "inception-tf"
    version = 1
    preprocess = "tf1-bilinear-299/(v-128)/128"
    resize = "tensorflow"

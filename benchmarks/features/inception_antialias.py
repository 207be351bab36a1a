"""Inception of torchmetrics since 1.8."""

from __future__ import annotations

from benchmarks.features.inception import InceptionExtractor


class InceptionAntialias(InceptionExtractor):
    """Antialiased bilinear resize, (v-128)/128."""

    name = "inception-antialias"
    version = 1
    preprocess = "aa-bilinear-299/(v-128)/128"
    resize = "antialiased"

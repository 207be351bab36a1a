"""Inception of the clean family: clean-fid, GigaGAN, DMD, DMD2, SiD-LSG's final number."""

from __future__ import annotations

from benchmarks.features.inception import InceptionExtractor


class InceptionClean(InceptionExtractor):
    """Antialiased bicubic resize in float, (v-128)/128."""

    name = "inception-clean"
    version = 1
    preprocess = "aa-bicubic-float-299/(v-128)/128"
    resize = "clean"

"""Every component by kind, as name -> instance; data sets are in benchmarks/data/open.py. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from benchmarks.features.base import Extractor
from benchmarks.metrics.base import Metric
from sid.discovery import discover
from sid.method import Method
from sid.teacher import Teacher


@lru_cache
def methods() -> Mapping[str, Method]:
    """Distillers: ours, the baselines, and those of other distributions."""
    return discover(Method, ["sid.methods", "baselines"], entry_point="sidbench.methods")


@lru_cache
def teachers() -> Mapping[str, Teacher]:
    """Families of teacher networks, each with its loader."""
    return discover(Teacher, ["sid.teachers"])


@lru_cache
def extractors() -> Mapping[str, Extractor]:
    """Feature networks that the metrics are computed on."""
    return discover(Extractor, ["benchmarks.features"])


@lru_cache
def metrics() -> Mapping[str, Metric]:
    """Metrics: pure functions of features."""
    return discover(Metric, ["benchmarks.metrics"], entry_point="sidbench.metrics")

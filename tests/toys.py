"""Toy components: suites and plans are tested without the real ones, whose versions and options may move."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.data import open as data_sets
from benchmarks.data.base import Dataset
from benchmarks.features.base import Extractor
from benchmarks.metrics.base import Metric, Score
from benchmarks.suite import components
from sid.method import Method, TeacherFacts, positive
from sid.teacher import Teacher


@dataclass(frozen=True)
class Chain:
    steps: int = 1
    times: tuple[float, ...] = ()


@dataclass(frozen=True)
class ToyOptions:
    alpha: float = 1.2
    rounds: int = 1
    t_init: float | None = None
    centred: bool = False
    chain: Chain = field(default_factory=Chain)


class ToyMethod(Method):
    name = "toy"
    version = 3
    paper = "A toy"
    Options = ToyOptions
    defaults = {"dots": {"rounds": 2}}  # noqa: RUF012

    def faults(self, options: ToyOptions, teacher: TeacherFacts) -> list[str]:
        conditional = ["alpha above 2 needs a conditional teacher"] * (options.alpha > 2 and not teacher.conditional)
        return positive(options, "alpha") + conditional

    def build(self, options: Any) -> dict[str, Any]:
        return {}

    def players(self, options: Any) -> tuple[Any, ...]:
        return ()


class Pairwise(ToyMethod):
    name = "pairwise"
    version = 1
    needs = frozenset({"pairs"})


class ToyTeacher(Teacher):
    name = "line"
    process = "edm"

    def build(self, settings: dict[str, Any]) -> Any:
        raise AssertionError("planning builds nothing")

    def load(self, folder: Path) -> Any:
        raise AssertionError("planning loads nothing")


class Dots(Dataset):
    name = "dots"
    shape = (1, 2, 2)
    classes = 2

    def images(self, split: str) -> Any:
        raise AssertionError("planning reads no image")


class Plain(Dots):
    name = "plain"
    classes = 0


class Tiny(Extractor):
    name = "tiny"
    outputs = ("features",)
    preprocess = "none"
    trained_here = True
    data = "dots"

    def open(self, weights: Path | None, device: str = "cpu") -> Any:
        raise AssertionError("planning opens nothing")

    def __call__(self, images: Any) -> Any:
        raise AssertionError("planning extracts nothing")


class Distance(Metric):
    name = "distance"
    version = 2
    direction = "lower"
    features = ("tiny.features",)

    def compute(self, features: Any, reference: Any = None, *, blocks: int = 1) -> Score:  # type: ignore[override]
        raise AssertionError("planning computes nothing")


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys in the place of every component."""
    for kind, toys in {
        "methods": [ToyMethod(), Pairwise()],
        "teachers": [ToyTeacher()],
        "datasets": [Dots(), Plain()],
        "extractors": [Tiny()],
        "metrics": [Distance()],
    }.items():
        room = data_sets if kind == "datasets" else components
        monkeypatch.setattr(room, kind, lambda toys=toys: {toy.name: toy for toy in toys})


SUITE = """
name: toys
title: Toys
seeds: [0, 1]
teachers:
  a: {family: line, data: dots, conditional: true, network: {width: 8}, training: {images: 1e3, batch: 10, lr: 1e-3}}
  b: {family: line, data: dots}
protocols:
  p:
    name: p
    samples: 100
    metrics:
      d: {metric: distance, features: tiny.features, reference: {data: dots, split: train}, tolerance: 0.1}
tasks:
  one: {teacher: a, protocol: p, budget: {images: 1000, batch: 100, observe: 3}, pairs: {count: 10}}
  two: {teacher: b, protocol: p, budget: {images: 2000, batch: 100}}
entries:
  teacher: {control: teacher, steps: 18}
  soft: {method: toy, options: {alpha: 1.0}}
  hard: {method: toy, options: {alpha: 1.5}, budget: {images: 500}, stop_players: {critic: 0.05}}
  paired: {method: pairwise, tasks: [one]}
  floor: {control: heldout}
"""


def write(folder: Path, change: dict[str, Any] | None = None, name: str = "toys") -> Path:
    """The toy suite as a file, with changes merged in; a null takes a key away."""
    content = yaml.safe_load(SUITE)
    _merge(content, change or {})
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def _merge(into: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is None:
            into.pop(key, None)
        else:
            into[key] = value

"""What every metric answers. One file in `benchmarks/metrics/` is one metric, a pure function of features."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import Component, UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.weights import Weight


def only(part: Mapping[str, Any] | None, metric: str) -> Any:
    """The one entry of the features or of the reference, where a metric reads one array."""
    if part is None or len(part) != 1:
        held = "none" if not part else ", ".join(part)
        raise Fault(f"{metric} compares one feature array with one reference, got: {held}")
    return next(iter(part.values()))


@dataclass(frozen=True)
class Score:
    """A metric's value with what a reader needs to trust it."""

    value: float
    details: dict[str, Any] = field(default_factory=dict)  # e.g. {"clamped": 1e-12, "std": 0.03}
    warnings: tuple[str, ...] = ()


class Metric(Component, ABC):
    """Declares what it needs; is computed on features that were extracted once for all metrics."""

    direction: ClassVar[str]  # "lower" | "higher" is better
    features: ClassVar[tuple[str, ...]]  # extractor outputs it reads, e.g. ("inception.pool3",); () is any one
    reference: ClassVar[bool] = True  # compares with a reference set
    from_statistics: ClassVar[bool] = False  # mean and covariance of the reference are enough
    weights: ClassVar[tuple[Weight, ...]] = ()  # files it reads itself; those of its extractors are theirs
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # published protocol variants: name -> options

    @abstractmethod
    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        *args: Any,
        **options: Any,
    ) -> Score:
        """The score of the images whose features these are; a component names its options."""

    @classmethod
    def options(cls) -> list[str]:
        """The options its `compute` takes by name."""
        return list(inspect.signature(cls.compute).parameters)[3:]

    @classmethod
    def faults(cls, options: Mapping[str, Any]) -> list[str]:
        """One sentence per option that the metric doesn't know, with the nearest it does."""
        return [
            sentence
            for name in options
            if name not in cls.options()
            for sentence in UnknownName(f"option of {cls.name}", name, cls.options()).sentences
        ]

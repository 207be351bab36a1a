"""What every metric answers. One file in `benchmarks/metrics/` is one metric, a pure function of features."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import Component, UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.assets import Weight


# What an option's annotation allows; whole numbers are numbers, a path may be given as text.
KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
    "Path": (str, Path),
}


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
    of_family: ClassVar[bool] = False  # its name promises those features: a protocol can't put others under it
    reference: ClassVar[bool] = True  # compares with a reference set
    from_statistics: ClassVar[bool] = False  # mean and covariance of the reference are enough
    weights: ClassVar[tuple[Weight, ...]] = ()  # files it reads itself; those of its extractors are theirs
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # published protocol variants: name -> options
    variant_extractors: ClassVar[Mapping[str, str]] = {}  # and the network of those that were published with another

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> tuple[Weight, ...]:
        """Those of its weights that it reads with these options."""
        return cls.weights

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
        found = list(inspect.signature(cls.compute).parameters.values())[3:]
        return [one.name for one in found if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]

    @classmethod
    def option(cls, name: str, given: Mapping[str, Any]) -> Any:
        """The option's value as given, else its default; None where the metric has no such option."""
        known = inspect.signature(cls.compute).parameters
        return given.get(name, known[name].default) if name in cls.options() else None

    @classmethod
    def faults(cls, options: Mapping[str, Any]) -> list[str]:
        """One sentence per option that the metric doesn't know, with the nearest it does, or whose type is another."""
        parameters = inspect.signature(cls.compute).parameters
        found: list[str] = []
        for name, value in options.items():
            if name not in cls.options():
                found += UnknownName(f"option of {cls.name}", name, cls.options()).sentences
                continue
            kinds = str(parameters[name].annotation).split(" | ")
            if not any(isinstance(value, KINDS[kind]) for kind in kinds) or (
                isinstance(value, bool) and "bool" not in kinds
            ):
                found.append(f"{cls.name}.{name} must be {' or '.join(kinds)} (got {value!r})")
        return found

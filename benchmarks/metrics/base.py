"""The base class of metrics, and the checks of features that they share.

One class is one metric; a family may share a file. A metric declares `direction`, `features`, `reference` and so on,
and defines `compute`, a pure function of features; its options are the keyword arguments of `compute`.
"""

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


# The types of an option by its annotation: an int is also a float, a path may be given as text.
OPTION_TYPES: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
    "Path": (str, Path),
}


def single_entry(features: Mapping[str, Any] | None, metric: str) -> Any:
    """The only entry of the features (or of the reference), for a metric that reads one array."""
    if features is None or len(features) != 1:
        names = "none" if not features else ", ".join(features)
        raise Fault(f"{metric} compares one feature array with one reference, got: {names}")
    return next(iter(features.values()))


def feature_matrix(
    features: np.ndarray, what: str = "features", names: list[str] | None = None, fewest: int = 2
) -> np.ndarray:
    """Features as a finite matrix [N, d]; refuses anything else.

    Args:
        features: [N, d], one row an image.
        what: what they are, for the message.
        names: of the images, for the message.
        fewest: the smallest N that is accepted.
    """
    import numpy as np

    features = np.asarray(features)
    if features.ndim != 2 or features.shape[1] == 0:
        raise Fault(f"{what} must be a matrix [images, dimensions], got shape {list(features.shape)}")
    if len(features) < fewest:
        raise Fault(f"{what}: a score of a set needs at least {fewest} images, got {len(features)}")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        listed = ", ".join(names[index] if names else f"image {index}" for index in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise Fault(f"{what}: NaN or infinity for {listed}{more}")
    return features


def same_dimension(first: int, second: int) -> None:
    """Refuses to compare features of different dimensions."""
    if first != second:
        raise Fault(f"features of {first} and {second} dimensions can't be compared")


@dataclass(frozen=True)
class Score:
    """A metric's value, and what a reader needs in order to trust it."""

    value: float
    details: dict[str, Any] = field(default_factory=dict)  # e.g. {"clamped": 1e-12, "std": 0.03}
    warnings: tuple[str, ...] = ()


class Metric(Component, ABC):
    """Declares which features it reads, and computes a score from them; all metrics share one pass of the networks."""

    direction: ClassVar[str]  # "lower" | "higher" is better
    features: ClassVar[tuple[str, ...]]  # extractor outputs it reads, e.g. ("inception-tf.pool3",); (): any one
    of_family: ClassVar[bool] = False  # its name implies these features: a protocol can't name others
    reference: ClassVar[bool] = True  # whether it compares with a reference set
    from_statistics: ClassVar[bool] = False  # whether mean and covariance of the reference are enough
    weights: ClassVar[tuple[Weight, ...]] = ()  # files it reads itself, not those of its extractors
    variants: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # published variants: name -> options
    variant_extractors: ClassVar[
        Mapping[str, str]
    ] = {}  # variant -> its extractor, or one output of it, if it is another one
    by_code_points: ClassVar[frozenset[str]] = frozenset()  # variants whose peer draws from files sorted as text

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> tuple[Weight, ...]:
        """The weights that it reads with these options."""
        return cls.weights

    @abstractmethod
    def compute(
        self,
        features: Mapping[str, np.ndarray],
        reference: Mapping[str, np.ndarray] | None = None,
        *args: Any,
        **options: Any,
    ) -> Score:
        """The score of a set of images.

        Args:
            features: "<extractor>.<output>" -> array of the images, in their order.
            reference: the same of the reference set, if the metric compares.
            options: a metric names its own, with annotations and defaults.
        """

    @classmethod
    def options(cls) -> list[str]:
        """The names of the options of `compute`."""
        options = list(inspect.signature(cls.compute).parameters.values())[3:]
        return [option.name for option in options if option.kind not in (option.VAR_KEYWORD, option.VAR_POSITIONAL)]

    @classmethod
    def option(cls, name: str, given: Mapping[str, Any]) -> Any:
        """The option's value in `given`, else its default; None if the metric has no such option."""
        parameters = inspect.signature(cls.compute).parameters
        return given.get(name, parameters[name].default) if name in cls.options() else None

    @classmethod
    def faults(cls, options: Mapping[str, Any]) -> list[str]:
        """One sentence for each unknown option, with the nearest known one, and for each value of a wrong type."""
        parameters = inspect.signature(cls.compute).parameters
        faults: list[str] = []
        for name, value in options.items():
            if name not in cls.options():
                faults += UnknownName(f"option of {cls.name}", name, cls.options()).sentences
                continue
            kinds = str(parameters[name].annotation).split(" | ")
            if not any(isinstance(value, OPTION_TYPES[kind]) for kind in kinds) or (
                isinstance(value, bool) and "bool" not in kinds
            ):
                faults.append(f"{cls.name}.{name} must be {' or '.join(kinds)} (got {value!r})")
        return faults

"""What every family of teachers answers: how its network is built, saved and loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sid.discovery import Component

if TYPE_CHECKING:
    from sid.denoiser import Denoiser


# How teachers are sampled at full steps, by their process; the first is the default.
SAMPLERS = {"edm": ("heun",), "vp": ("ddim", "dpm++", "pndm"), "flow": ("euler", "dpm++")}


class Teacher(Component, ABC):
    """One file in `sid/teachers/` is one family. Module level imports no torch."""

    process: ClassVar[str]  # "edm" | "vp" | "flow"
    text: ClassVar[bool] = False
    augment: ClassVar[bool] = False  # its network takes the labels of the non-leaking augmentation
    features: ClassVar[bool] = False  # offers encoder features for an adversarial term
    licence: ClassVar[str] = ""

    def licence_of(self, settings: Mapping[str, Any]) -> str:
        """Of the weights with these settings: a family may have published several."""
        return self.licence

    @abstractmethod
    def build(self, settings: dict[str, Any]) -> Denoiser:
        """A freshly initialised denoiser from its settings (the network's init arguments)."""

    @abstractmethod
    def load(self, folder: Path) -> Denoiser:
        """The denoiser whose files lie in the folder; one sentence when it is no such model."""

"""The factors by which two FIDs of the same images differ, each of which can be changed alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics import frechet
from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-6


@dataclass(frozen=True)
class PeerRecipe:
    """The settings of a Frechet distance; the defaults are this project's `fid`."""

    resize: str = "tensorflow"  # a function of benchmarks.features.networks.resize, or "clean without antialias"
    normalisation: str = "(v-128)/128"
    rounding: str = "none"  # "after resize": back to uint8; "half a level down": a truncating float -> uint8
    ddof: int = 1
    precision: str = "float64"  # "float32 mean" | "float32 result" | "float32"
    root: str = "symmetric"  # "sqrtm" | "eigvals"
    eps: float = 0.0  # added to both diagonals
    samples: str = "all"  # "half"
    reference: str = "same resize"  # or the resize of the reference statistics

    def differences(self, other: PeerRecipe) -> list[str]:
        """The factors in which another recipe differs."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]

    def changed(self, factor: str, value: Any) -> PeerRecipe:
        return replace(self, **{factor: value})


ALTERNATIVES: dict[str, tuple[Any, ...]] = {
    "resize": ("tensorflow", "clean", "bilinear", "antialiased", "clean without antialias"),
    "normalisation": ("(v-128)/128", "v/127.5-1"),
    "rounding": ("none", "after resize", "half a level down"),
    "ddof": (1, 0),
    "precision": ("float64", "float32 mean", "float32 result", "float32"),
    "root": ("symmetric", "sqrtm", "eigvals"),
    "eps": (0.0, EPS),
    "samples": ("all", "half"),
    "reference": ("same resize", "tensorflow", "clean", "bilinear"),
}


class Bench:
    """Two sets of images on which recipes are evaluated; features are cached by the factors that decide them."""

    def __init__(self, network: Any, images: list[np.ndarray], reference: list[np.ndarray], tap: str = "pool3"):
        self.network, self.sets, self.tap = network, (images, reference), tap
        self._features: dict[tuple, np.ndarray] = {}
        self._values: dict[PeerRecipe, float] = {}

    @cached_property
    def factors(self) -> tuple[str, ...]:
        """The factors that can be changed here."""
        return tuple(ALTERNATIVES)

    def value(self, recipe: PeerRecipe) -> float:
        """The Frechet distance by a recipe."""
        if recipe not in self._values:
            first = self.features(0, recipe)
            made_with = recipe if recipe.reference == "same resize" else replace(recipe, resize=recipe.reference)
            second = self.features(1, made_with)
            if recipe.samples == "half":
                if len(first) < 4:
                    raise Fault(f"half of {len(first)} images is fewer than the two that a distance needs")
                first = first[: len(first) // 2]
            self._values[recipe] = distance(first, second, recipe)
        return self._values[recipe]

    def outcome(self, recipe: PeerRecipe) -> float | str:
        """The distance, or the reason why these images do not allow the recipe."""
        try:
            return self.value(recipe)
        except Fault as fault:
            return " ".join(fault.sentences)

    def features(self, index: int, recipe: PeerRecipe) -> np.ndarray:
        """The features of set 0 (images) or 1 (reference)."""
        key = (index, recipe.resize, recipe.normalisation, recipe.rounding)
        if key not in self._features:
            self._features[key] = pixels_to_features(self.network, self.sets[index], recipe, self.tap)
        return self._features[key]


class FeatureBench(Bench):
    """Two sets of given features, on which the factors of pixels cannot be changed."""

    def __init__(self, images: np.ndarray, reference: np.ndarray):
        super().__init__(None, [], [])
        self.given_features = (images, reference)

    @cached_property
    def factors(self) -> tuple[str, ...]:
        return ("ddof", "precision", "root", "eps", "samples")

    def features(self, index: int, recipe: PeerRecipe) -> np.ndarray:
        return self.given_features[index]


def pixels_to_features(network: Any, images: list[np.ndarray], recipe: PeerRecipe, tap: str) -> np.ndarray:
    """uint8 images [3, H, W] through resize, rounding, normalisation and the network."""
    import torch

    parts = []
    with torch.inference_mode():
        for first in range(0, len(images), 16):
            chunk = [resized(torch.from_numpy(image)[None], recipe) for image in images[first : first + 16]]
            pixels = torch.cat(chunk)
            pixels = (pixels - 128) / 128 if recipe.normalisation == "(v-128)/128" else pixels / 127.5 - 1
            features = network(pixels.contiguous(memory_format=torch.channels_last), (tap,))[tap]
            parts.append(features.float().numpy())
    return np.concatenate(parts)


def resized(images: Tensor, recipe: PeerRecipe) -> Tensor:
    """Images resized to 299 x 299, in grey levels."""
    from torch.nn import functional as F

    from benchmarks.features.networks import resize

    if recipe.rounding == "half a level down":
        images = (images.float() - 0.5).clamp(0, 255)
    if recipe.resize == "clean without antialias":
        pixels = F.interpolate(images.float(), (299, 299), mode="bicubic", align_corners=False).clamp(0, 255)
    else:
        pixels = getattr(resize, recipe.resize)(images)
    return pixels.round().clamp(0, 255) if recipe.rounding == "after resize" else pixels


def distance(images: np.ndarray, reference: np.ndarray, recipe: PeerRecipe) -> float:
    """The Frechet distance of two sets of features, by the arithmetic of a recipe."""
    if recipe.root == "symmetric" and not recipe.eps and recipe.precision == "float64":
        sides = [frechet.moments(part, recipe.ddof) for part in (images, reference)]
        return frechet.distance(*sides).value
    kind: Any = np.float32 if recipe.precision == "float32" else np.float64
    means: list[np.ndarray] = []
    covariances: list[np.ndarray] = []
    for part in (images, reference):
        exact: Any = part.astype(kind)
        mean_of: Any = part.astype(np.float32) if recipe.precision == "float32 mean" else exact
        means.append(np.mean(mean_of, axis=0).astype(kind))
        centred = exact - exact.mean(axis=0)
        covariance = centred.T @ centred / kind(len(part) - recipe.ddof)
        covariances.append(covariance + recipe.eps * np.eye(len(covariance), dtype=kind))
    value = float(np.sum((means[0] - means[1]) ** 2)) + _covariance_term(covariances[0], covariances[1], recipe.root)
    return float(np.float32(value)) if recipe.precision == "float32 result" else value


def _covariance_term(first: np.ndarray, second: np.ndarray, root: str) -> float:
    """tr (S1 + S2) - 2 tr (S1 S2)^(1/2), with the square root computed as `root` says."""
    import scipy.linalg

    traces = float(np.trace(first) + np.trace(second))
    if root == "sqrtm":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few images make a singular product, which the peers accept too
            return traces - 2 * float(np.trace(scipy.linalg.sqrtm(first @ second)).real)
    if root == "eigvals":
        return traces - 2 * float(np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum())
    zero = np.zeros(len(first))
    sides = [frechet.Moments(zero, part.astype(np.float64), frechet.UNKNOWN_COUNT) for part in (first, second)]
    return frechet.distance(*sides).value

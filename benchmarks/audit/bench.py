"""Our own pipeline under any recipe, on two sets of images or of features; each image is extracted once a recipe."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.audit.peer_recipe import ALTERNATIVES, BATCHES, DROPPED, PIXEL_FACTORS, PeerRecipe
from benchmarks.audit.pixels import PixelSet, prepared
from benchmarks.audit.workers import side_by_side
from benchmarks.metrics import frechet
from sid.fault import Fault

BATCH = 16


class Bench:
    """Two sets of images on which recipes are evaluated; features are cached by what decides them."""

    # The kinds of square root are equal but for rounding, and cost minutes in 2048 dimensions: only a peer's own
    # function computes another one here. The tables of arithmetic compare them.
    factors: tuple[str, ...] = tuple(factor for factor in ALTERNATIVES if factor != "root")

    def __init__(self, network: Any, images: PixelSet, reference: PixelSet, tap: str = "pool3", device: str = "cpu"):
        self.network, self.sets, self.tap, self.device = network, (images, reference), tap, device
        self._rows: dict[tuple, np.ndarray] = {}  # (pixel factors, image) -> its features
        self._values: dict[PeerRecipe, float] = {}
        self._moments: dict[tuple, frechet.Moments] = {}

    def reading(self, images: PixelSet, reference: PixelSet) -> Bench:
        """The same pipeline on what another reader took from the folders; images that both read are shared."""
        other = Bench(self.network, images, reference, self.tap, self.device)
        other._rows = self._rows
        return other

    def value(self, recipe: PeerRecipe) -> float:
        """The Frechet distance by a recipe."""
        if recipe not in self._values:
            made_with = _of_reference(recipe)
            rows = [self.chosen(index, recipe) for index in (0, 1)]
            self._extract([(self.sets[0], recipe), (self.sets[1], made_with)])  # both before either is asked for
            self._values[recipe] = self._distance(
                self.features(0, recipe)[rows[0]], self.features(1, made_with)[rows[1]], recipe, made_with
            )
        return self._values[recipe]

    def outcome(self, recipe: PeerRecipe) -> float | str:
        """The distance, or the reason why these images do not allow the recipe."""
        try:
            return self.value(recipe)
        except Fault as fault:
            return " ".join(fault.sentences)

    def chosen(self, index: int, recipe: PeerRecipe) -> list[int]:
        """The rows of a set that a recipe reads, in the order in which it reads them."""
        names = self.names(index)
        rows = list(range(len(names)))
        if recipe.order == "lexicographic":
            rows.sort(key=names.__getitem__)
        if recipe.samples == "half" and index == 0:
            if len(rows) < 4:
                raise Fault(f"half of {len(rows)} images is fewer than the two that a distance needs")
            return rows[: len(rows) // 2]
        for size in BATCHES:
            if recipe.samples == DROPPED.format(size):
                return rows[: len(rows) // size * size]
        return rows

    def applies(self, factor: str, value: Any) -> bool:
        """Whether a change can matter: a last batch is dropped only where the images fill others and not this one."""
        sizes = [size for size in BATCHES if factor == "samples" and value == DROPPED.format(size)]
        counts = [len(self.names(index)) for index in (0, 1)]
        return not sizes or (min(counts) >= sizes[0] and any(count % sizes[0] for count in counts))

    def names(self, index: int) -> tuple[str, ...]:
        return self.sets[index].names

    def features(self, index: int, recipe: PeerRecipe) -> np.ndarray:
        """The features of set 0 (images) or 1 (reference), in the order of the set."""
        chosen = self.sets[index]
        self._extract([(chosen, recipe)])
        return np.stack([self._rows[_way(recipe), key] for key in chosen.keys])

    def _extract(self, asked: Sequence[tuple[PixelSet, PeerRecipe]]) -> None:
        """Makes the features that are not there yet of the sets by their recipes."""
        batches, known = list[tuple[PeerRecipe, dict[str, np.ndarray]]](), set(self._rows)
        for chosen, recipe in asked:
            pairs = zip(chosen.keys, chosen.pixels, strict=True)
            missing = {key: pixels for key, pixels in pairs if (_way(recipe), key) not in known}
            known |= {(_way(recipe), key) for key in missing}
            images = list(missing.items())
            batches += [(recipe, dict(images[first : first + BATCH])) for first in range(0, len(images), BATCH)]

        def run(batch: tuple[PeerRecipe, dict[str, np.ndarray]]) -> np.ndarray:
            return pixels_to_features(self.network, list(batch[1].values()), batch[0], self.tap, self.device)

        made: Iterable[np.ndarray] = side_by_side(run, batches) if self.device == "cpu" else map(run, batches)
        for (recipe, batch), rows in zip(batches, made, strict=True):
            self._rows |= {(_way(recipe), key): row for key, row in zip(batch, rows, strict=True)}

    def passes(self, *recipes: PeerRecipe) -> int:
        """How many images of both sets must pass the network for these recipes, beside those that have."""
        wanted = {
            (_way(given), key)
            for recipe in recipes
            for given, chosen in zip((recipe, _of_reference(recipe)), self.sets, strict=True)
            for key in chosen.keys
        }
        return len(wanted - self._rows.keys())

    def _distance(self, first: np.ndarray, second: np.ndarray, recipe: PeerRecipe, made_with: PeerRecipe) -> float:
        if len(first) + len(second) < first.shape[1]:
            return distance(*in_span(first, second), recipe)
        if not plain(recipe):
            return distance(first, second, recipe)
        sides = []
        for index, (part, given) in enumerate(((first, recipe), (second, made_with))):  # each root is computed once
            way = (index, given.samples, given.order, recipe.ddof, *_way(given))
            if way not in self._moments:
                self._moments[way] = frechet.moments(part, recipe.ddof)
            sides.append(self._moments[way])
        return frechet.distance(*sides).value


class FeatureBench(Bench):
    """Two sets of given features, on which the factors of pixels and files cannot be changed."""

    factors = ("ddof", "precision", "root", "eps", "samples")

    def __init__(self, images: np.ndarray, reference: np.ndarray):
        super().__init__(None, PixelSet((), ()), PixelSet((), ()))
        self.given_features = (images, reference)

    def names(self, index: int) -> tuple[str, ...]:
        return tuple(f"{row:09d}" for row in range(len(self.given_features[index])))

    def features(self, index: int, recipe: PeerRecipe) -> np.ndarray:
        return self.given_features[index]

    def passes(self, *recipes: PeerRecipe) -> int:
        return 0


def _way(recipe: PeerRecipe) -> tuple:
    """What decides the features of an image."""
    return tuple(getattr(recipe, factor) for factor in PIXEL_FACTORS)


def _of_reference(recipe: PeerRecipe) -> PeerRecipe:
    """The recipe with which the reference's features are made."""
    return recipe if recipe.reference == "same resize" else replace(recipe, resize=recipe.reference)


def pixels_to_features(
    network: Any, images: list[np.ndarray], recipe: PeerRecipe, tap: str, device: str = "cpu"
) -> np.ndarray:
    """uint8 images [3, H, W] through resize, rounding and normalisation on the CPU, and the network on its device."""
    import torch

    with torch.inference_mode():
        pixels = torch.cat([prepared(image, recipe) for image in images])
        pixels = pixels.to(device).contiguous(memory_format=torch.channels_last)
        features = network(pixels, (tap,))[tap]
    return features.float().cpu().numpy()


def in_span(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both sets in an orthonormal basis of all their rows: fewer columns than before, and the same distance.

    A rotation changes neither distances of means nor eigenvalues, and outside of the span both covariances are zero.
    """
    together = np.concatenate([first, second]).astype(np.float64)
    _, coordinates = np.linalg.qr(together.T)
    rows = coordinates.T.astype(first.dtype)
    return rows[: len(first)], rows[len(first) :]


def plain(recipe: PeerRecipe) -> bool:
    """Whether its arithmetic is ours: float64, the symmetric root, nothing added."""
    return recipe.root == "symmetric" and not recipe.eps and recipe.precision == "float64"


def distance(images: np.ndarray, reference: np.ndarray, recipe: PeerRecipe) -> float:
    """The Frechet distance of two sets of features, by the arithmetic of a recipe."""
    if plain(recipe):
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

"""Images in, scores out: one engine for runs, for `sidbench score` and for `sidbench score --protocol`.

A `Scorer` opens the networks that its requests read and computes the features of their references. `look` turns
portions of images into features, so that 30,000 pictures of 512 pixels are never in memory at once, and `score` turns
features into scores. A request that can't be computed is unavailable with its reason, and the others go on. The command
line calls the function `score`, which looks once and scores.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.data.open import open_dataset
from benchmarks.data.prompts import prompt_list
from benchmarks.features.extraction import Extracted, Waiting, extract, extract_in_parts
from benchmarks.hardware import chosen_device
from benchmarks.images import archives
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Array, Images, open_images
from benchmarks.metrics.frechet import Moments
from benchmarks.scoring.requests import Request
from benchmarks.suite import components
from benchmarks.suite.digests import seeded
from sid.discovery import pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor
    from benchmarks.features.store import Store
    from benchmarks.metrics.base import Score


Place = tuple[str, str]  # (geometry, "<network>.<output>"): equal places hold comparable features
Texts = Mapping[tuple[str, str], Mapping[str, np.ndarray]]  # (network, template) -> embeddings, and which were cut


@dataclass
class ScoreSettings:
    """How the images are read and the networks opened. Only `random_weights` and `weights` change a number."""

    batch: int = 32
    workers: int = 0  # decoding threads; 0: the cores there are
    device: str = "cpu"
    random_weights: int | None = None  # seed of made networks; every line then says so
    weights: Mapping[str, Path] = field(default_factory=dict)  # extractor -> its file; NAME or NAME@SEED -> its folder
    family: str | None = None  # extractor that made a foreign statistics file
    store: Store | None = None  # of features: of images in files, and of references


@dataclass
class FeatureSet:
    """The features of the images looked at so far, and what was noticed on the way."""

    portions: dict[Place, list[np.ndarray]] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of the files, each after the folders below the source
    count: int = 0
    sizes: Counter = field(default_factory=Counter)  # (width, height) of the images as they came
    warnings: list[str] = field(default_factory=list)
    waiting: Waiting = field(default_factory=Waiting)  # of all passes

    def of(self, place: Place) -> np.ndarray:
        portions = self.portions[place]
        return portions[0] if len(portions) == 1 else np.concatenate(portions)

    def by_code_points(self, rows: np.ndarray) -> np.ndarray:
        """The rows in the order of the files' names as text, which other implementations read them in."""
        return rows[sorted(range(len(rows)), key=self.names.__getitem__)]

    def add(self, passes: Mapping[Geometry, Extracted], captions: Sequence[str], images: Images) -> None:
        """Another portion of images, as each geometry's pass over it extracted them."""
        for geometry, extracted in passes.items():
            for key, array in extracted.features.items():
                self.portions.setdefault((geometry.identity, key), []).append(array)
            self.warnings += [line for line in extracted.warnings() if line not in self.warnings]
            self.waiting += extracted.waiting
        self.sizes += next((extracted.sizes for extracted in passes.values()), Counter())
        self.captions += captions
        first, self.count = self.count, self.count + len(images)
        in_memory = isinstance(images, Array)  # they have no files, and stay in their order
        self.names += [f"{index:012d}" for index in range(first, self.count)] if in_memory else images.names


class Scorer:
    """Requests with their networks opened and their references' features at hand."""

    def __init__(
        self,
        requests: Mapping[str, Request],
        settings: ScoreSettings | None = None,
        reference: Path | Images | None = None,
        captioned: bool = True,
    ):
        """Opens what can be opened; a fault of a reference given by hand is raised, any other is a reason.

        Args:
            requests: label -> what is computed.
            settings: how images are read and networks opened.
            reference: images, or a file of statistics, in the place of the requests' own data sets.
            captioned: whether the images come with captions.
        """
        self.requests = dict(requests)
        self.settings = settings or ScoreSettings()
        self.unavailable: dict[str, str] = {}  # label -> why it can't be computed here
        self.weights: dict[str, str] = {}  # network -> sha256 or "random-<seed>"
        self.references: list[tuple[Images, FeatureSet]] = []  # images compared with, without their features
        self.statistics_count: int | None = None  # images behind a file of statistics, where it says so
        self._networks: dict[str, Extractor] = {}
        self._failed: dict[str, Fault] = {}  # networks that could not be opened
        self._subsets: dict[str, frozenset[str]] = {}  # label -> captions of the images it scores
        self._compared: dict[str, dict[str, Any]] = {}  # label -> features or statistics of its reference
        for label, request in self.requests.items():
            try:
                _refuse_incomplete(request, reference, captioned)
                for name in request.extractors:
                    self._open(name, request)
                if request.only is not None:
                    self._subsets[label] = frozenset(prompt_list(request.only))
            except Fault as fault:
                self.unavailable[label] = " ".join(fault.sentences)
        comparing = {label: request for label, request in self.available.items() if request.metric.reference}
        if reference is not None:
            self._compare_with(reference, comparing)
        else:
            self._compare_with_data_sets(comparing)

    @property
    def available(self) -> dict[str, Request]:
        """The requests that nothing is known against yet."""
        return {label: request for label, request in self.requests.items() if label not in self.unavailable}

    @property
    def places(self) -> list[Place]:
        """The arrays that `look` makes of images."""
        return [
            (geometry.identity, f"{network}.{output}")
            for geometry, needs in _needs(self.available).items()
            for network, outputs in needs.items()
            for output in outputs
        ]

    def look(
        self, images: np.ndarray | Images, captions: Sequence[str] = (), features: FeatureSet | None = None
    ) -> FeatureSet:
        """Adds the features of these images to those of the images before, one pass per geometry.

        An array is a portion in memory, and its features are not stored; those of `Images` are, where there is a store.
        """
        features = FeatureSet() if features is None else features
        opened, store = (Array(images), None) if isinstance(images, np.ndarray) else (images, self.settings.store)
        batch, workers, listed = self.settings.batch, self.settings.workers, list(captions) or None
        refused: dict[str, str] = {}
        passes = {
            geometry: extract(opened, needs, self._networks, geometry, batch, workers, store, listed, refused)
            for geometry, needs in _needs(self.available).items()
        }
        self._drop_refused(self.available, refused)
        features.add(passes, captions, opened)
        return features

    def score(self, images: np.ndarray | Images | FeatureSet, captions: Sequence[str] = ()) -> dict[str, Score]:
        """label -> score, of images or of the features that `look` made of them."""
        features = images if isinstance(images, FeatureSet) else self.look(images, captions)
        texts = self._texts(features.captions)
        scores = {}
        for label, request in self.available.items():
            read = self._read(label, request, features, texts)
            try:
                scores[label] = request.metric.compute(read, self._compared.get(label), **request.options)
            except Fault as fault:  # too few images for this one, say: the others go on
                self.unavailable[label] = " ".join(fault.sentences)
        return scores

    def values(self, images: np.ndarray | Images | FeatureSet, captions: Sequence[str] = ()) -> dict[str, float]:
        """The numbers alone, for a curve."""
        return {label: score.value for label, score in self.score(images, captions).items()}

    def _open(self, name: str, request: Request) -> None:
        network = request.network(name)
        if network in self._failed:
            raise self._failed[network]
        if network in self._networks:
            return
        try:
            self._networks[network] = open_extractor(name, self.settings, request.seed)
        except Fault as fault:
            self._failed[network] = fault
            raise
        if identity := self._networks[network].identity:
            self.weights[network] = identity

    def _read(self, label: str, request: Request, features: FeatureSet, texts: Texts) -> dict[str, np.ndarray]:
        """What the metric reads of images and captions, under the extractors' own names whatever their seed."""
        geometry, read = request.geometry.identity, dict[str, np.ndarray]()
        for name, outputs in request.outputs.items():
            for output in outputs:
                read[f"{name}.{output}"] = features.of((geometry, f"{request.network(name)}.{output}"))
        for name in request.towers:
            embedded = texts[request.network(name), request.template]
            read |= {f"{name}.{output}": array for output, array in embedded.items()}
        if label in self._subsets:
            rows = np.array([caption in self._subsets[label] for caption in features.captions])
            read = {key: array[rows] for key, array in read.items()}
        if request.by_code_points and label not in self._subsets:
            read = {key: features.by_code_points(array) for key, array in read.items()}
        return read

    def _texts(self, captions: Sequence[str]) -> Texts:
        """Caption embeddings, once per network and template."""
        wanted = {
            (request.network(name), request.template) for request in self.available.values() for name in request.towers
        }
        return {
            (network, template): self._networks[network].texts(captions, template)
            for network, template in sorted(wanted)
        }

    def _compare_with_data_sets(self, comparing: Mapping[str, Request]) -> None:
        """Each request with its own data set; a missing one makes its requests unavailable."""
        groups: dict[tuple[str, str], dict[str, Request]] = {}
        for label, request in comparing.items():
            assert request.reference is not None  # refused before
            groups.setdefault((request.reference.data, request.reference.split), {})[label] = request
        for (data, split), group in groups.items():
            try:
                self._compare_with_images(open_dataset(data).source(split), group)
            except Fault as fault:
                self.unavailable |= dict.fromkeys(group, " ".join(fault.sentences))

    def _compare_with(self, reference: Path | Images, comparing: Mapping[str, Request]) -> None:
        """All with one reference: statistics where the file holds them and they are enough, else features of images."""
        if not comparing:
            return
        rest = dict(comparing)
        if isinstance(reference, Path) and (statistics := self._statistics(reference, comparing)):
            key, geometry, moments = statistics
            self.statistics_count = moments.known_count
            for label, request in comparing.items():
                same = request.features == (key,) and geometry in (None, request.geometry.identity)
                if same and request.metric.from_statistics:
                    self._compared[label] = {key: moments}
                    del rest[label]
                elif not _holds_images(reference):
                    self.unavailable[label] = _unlike(label, request, reference, key, geometry)
            rest = rest if _holds_images(reference) else {}
        if rest:
            images = reference if isinstance(reference, Images) else open_images(reference)
            self._compare_with_images(images, rest)

    def _compare_with_images(self, images: Images, group: Mapping[str, Request]) -> None:
        """The features of these images, from the store part by part where there is one."""
        settings, features, passes = self.settings, FeatureSet(), dict[Geometry, Extracted]()
        how: dict[str, Any] = {"batch": settings.batch, "workers": settings.workers, "refused": {}}
        for geometry, needs in _needs(group).items():
            if settings.store is None or all(self._networks[name].trained_here for name in needs):
                passes[geometry] = extract(images, needs, self._networks, geometry, **how)
            else:
                passes[geometry] = extract_in_parts(images, needs, self._networks, geometry, settings.store, **how)
        self._drop_refused(group, how["refused"], "reference: ")
        features.add(passes, (), images)
        for label, request in group.items():
            if label in self.unavailable:
                continue
            compared = {
                f"{name}.{output}": features.of((request.geometry.identity, f"{request.network(name)}.{output}"))
                for name, outputs in request.outputs.items()
                for output in outputs
            }
            if request.by_code_points:
                compared = {key: features.by_code_points(array) for key, array in compared.items()}
            self._compared[label] = compared
        features.portions.clear()
        self.references.append((images, features))

    def _drop_refused(self, requests: Mapping[str, Request], refused: Mapping[str, str], where: str = "") -> None:
        """Requests whose network could not read an image are unavailable for the network's reason."""
        for label, request in requests.items():
            if reasons := [refused[name] for name in map(request.network, request.extractors) if name in refused]:
                self.unavailable[label] = where + " ".join(reasons)

    def _statistics(self, path: Path, comparing: Mapping[str, Request]) -> tuple[str, str | None, Moments] | None:
        """(feature, geometry if stated, moments) of a file of statistics that a request may read; None for images."""
        from benchmarks.metrics.statistics import read_foreign_statistics, read_header_and_arrays, read_statistics

        if path.suffix == ".safetensors":
            header, _ = read_header_and_arrays(path)
            extractor, output = header.get("family", "|").split("|")[0], header.get("output", "")
            geometries = [request.geometry.identity for request in comparing.values()]
            geometry = header["geometry"] if header.get("geometry") in geometries else geometries[0]
            expected = {"geometry": geometry}
            if extractor in self._networks:
                expected["family"] = self._networks[extractor].family
            return f"{extractor}.{output}", geometry, read_statistics(path, expected)
        if path.suffix == ".npz" and path.is_file() and {"mu", "sigma"} & set(archives.npz_names(path)):
            if _holds_images(path) and not any(request.metric.from_statistics for request in comparing.values()):
                return None
            extractor, moments = read_foreign_statistics(path, self.settings.family)
            pick("extractor", dict(components.extractors()), extractor)
            return f"{extractor}.pool3", None, moments
        return None


def _refuse_incomplete(request: Request, reference: Path | Images | None, captioned: bool) -> None:
    """A request that lacks features, captions or a reference is refused before any network is opened for it."""
    name = request.metric.name
    if not request.features:
        raise Fault(f"{name} reads any features: say which, for example --extractor {name}=dinov2.cls")
    if request.needs_captions and not captioned:
        raise Fault(f"{name} compares images with captions: give --captions")
    if request.only is not None and not captioned:
        raise Fault(f"{name} is computed on the images of some prompts alone: give --captions")
    if request.metric.reference and reference is None and request.reference is None:
        raise Fault(f"{name} compares with a reference: give --reference")


def open_extractor(name: str, settings: ScoreSettings, seed: int = 0) -> Extractor:
    """With the file given by hand, the located one, or random weights; one trained here, from its folder."""
    extractor = pick("extractor", dict(components.extractors()), name)
    weights = settings.weights.get(seeded(name, seed))
    if extractor.trained_here:
        if weights is None:
            folder = f"--weights {seeded(name, seed)}=results/_shared/extractor/DIGEST"
            raise Fault(f"{name} is trained inside a suite: `sidbench prepare` makes its folder, give it with {folder}")
        return extractor.trained(weights, open_dataset(extractor.data), settings.device)
    if settings.random_weights is not None:
        return extractor.random(settings.random_weights, settings.device)
    return extractor.open(weights, settings.device)


def _needs(requests: Mapping[str, Request]) -> dict[Geometry, dict[str, list[str]]]:
    """geometry -> network -> image outputs, each once."""
    needs: dict[Geometry, dict[str, list[str]]] = {}
    for request in requests.values():
        networks = needs.setdefault(request.geometry, {})
        for name, outputs in request.outputs.items():
            network = request.network(name)
            networks[network] = list(dict.fromkeys([*networks.get(network, ()), *outputs]))
    return needs


def _holds_images(path: Path) -> bool:
    """Published batches hold images beside their mean and covariance."""
    return path.suffix == ".npz" and bool({"images", "arr_0"} & set(archives.npz_names(path)))


def _unlike(label: str, request: Request, path: Path, key: str, geometry: str | None) -> str:
    """Why a request can't be compared with these statistics."""
    if request.features != (key,):
        return f"{label} reads {', '.join(request.features)}; {path} holds {key}"
    if geometry not in (None, request.geometry.identity):
        return f"{label} is computed after {request.geometry.identity}; {path} after {geometry}"
    return f"{label} needs the reference's features; {path} holds statistics only"


@dataclass
class Result:
    """What `score` made of the images: one line per request, in the order asked for."""

    scores: dict[str, Score] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    images: int = 0
    reference: int | None = None  # None: without one, several of other sizes, or statistics that do not say
    weights: dict[str, str] = field(default_factory=dict)  # network -> sha256 or "random-<seed>"
    read: dict[str, str] = field(default_factory=dict)  # label -> the features it was to be computed on
    digests: dict[str, str] = field(default_factory=dict)  # sha256 of the images, the reference and the captions
    sizes: Counter = field(default_factory=Counter)  # (width, height) of the images as they came
    waiting: Waiting = field(default_factory=Waiting)  # of the passes of images and references


def score(
    images: Images,
    requests: Mapping[str, Request],
    reference: Path | Images | None = None,
    captions: Sequence[str] | None = None,
    settings: ScoreSettings | None = None,
) -> Result:
    """Looks at the images once and scores them, with what qualifies the numbers.

    Args:
        images: from any source.
        requests: label -> what is computed.
        reference: images, or a file of statistics, in the place of the requests' own data sets.
        captions: one per image.
        settings: how images are read and networks opened.
    """
    settings = settings or ScoreSettings()
    chosen_device(settings.device)  # a wrong one is refused before anything is opened
    if captions is not None and len(captions) != len(images):
        raise Fault(f"{len(images):,} images but {len(captions):,} captions: they must pair up")
    scorer = Scorer(requests, settings, reference, captions is not None)
    read = {label: ", ".join(request.features) for label, request in requests.items()}
    result = Result(images=len(images), read=read, unavailable=scorer.unavailable, weights=scorer.weights)
    if not scorer.available:
        return result
    features = scorer.look(images, captions or ())
    result.scores = scorer.score(features)
    result.sizes, result.reference = features.sizes, scorer.statistics_count
    result.waiting = sum((compared.waiting for _, compared in scorer.references), features.waiting)
    result.digests["images"] = images.digest
    result.warnings += [f"images: {line}" for line in [*features.warnings, *images.remarks()]]
    if captions is not None:
        result.digests["captions"] = hashlib.sha256("\n".join(captions).encode()).hexdigest()
    for compared, reference_features in scorer.references:
        where = "reference" if reference is not None else compared.source
        result.digests[where] = compared.digest
        result.warnings += [f"{where}: {line}" for line in [*reference_features.warnings, *compared.remarks()]]
        if set(reference_features.sizes) != set(features.sizes):
            sizes = f"images are {_sizes(features)}, the reference {_sizes(reference_features)}"
            result.warnings.append(f"{sizes}: the resize differs, and so does the score")
    if counts := {len(compared) for compared, _ in scorer.references}:
        result.reference = counts.pop() if len(counts) == 1 else None
    return result


def _sizes(features: FeatureSet) -> str:
    width, height = features.sizes.most_common(1)[0][0]
    others = len(features.sizes) - 1
    return f"{width} x {height}" + (f" and {others} other size{'s' if others > 1 else ''}" if others else "")


def as_json(scores: Mapping[str, Score]) -> dict[str, Any]:
    """Scores as scores.json holds them."""
    return {
        name: {"value": score.value, "details": score.details, "warnings": list(score.warnings)}
        for name, score in scores.items()
    }

"""Any images in, scores out: which extractors the metrics need, one pass, and what could not be computed and why."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.features.extraction import Extracted, extract
from benchmarks.images import archives
from benchmarks.images.geometry import AS_IS, Geometry
from benchmarks.images.reading import Images, open_images
from benchmarks.metrics.frechet import Moments
from benchmarks.scoring.requests import Asked
from benchmarks.suite import components
from sid.discovery import pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.features.base import Extractor
    from benchmarks.features.store import Store
    from benchmarks.metrics.base import Score


Texts = Mapping[tuple[str, str], Mapping[str, np.ndarray]]  # (tower, template) -> embeddings, and which were cut


@dataclass
class Settings:
    """How the images are read and the networks opened."""

    geometry: Geometry = AS_IS
    batch: int = 32
    workers: int = 0
    device: str = "cpu"
    random_weights: int | None = None  # seed of made networks; every line then says so
    weights: Mapping[str, Path] = field(default_factory=dict)  # extractor -> file given by hand
    family: str | None = None  # extractor that made a foreign statistics file
    store: Store | None = None


@dataclass
class Result:
    """One line per metric, in the order asked for."""

    scores: dict[str, Score] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    images: int = 0
    reference: int | None = None  # None: without one, or in statistics that do not say
    weights: dict[str, str] = field(default_factory=dict)  # extractor -> sha256 or "random-<seed>"
    read: dict[str, str] = field(default_factory=dict)  # metric -> the features it was asked to be computed on
    digests: dict[str, str] = field(default_factory=dict)  # sha256 of the images, the reference and the captions
    sizes: Counter = field(default_factory=Counter)  # (width, height) of the images as they came


def score(
    images: Images,
    wanted: Mapping[str, Asked],
    reference: Path | Images | None = None,
    captions: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> Result:
    """Every metric under its label; one whose weights are missing is unavailable, the rest goes on."""
    settings = settings or Settings()
    check_device(settings.device)
    if captions is not None and len(captions) != len(images):
        raise Fault(f"{len(images):,} images but {len(captions):,} captions: they must pair up")
    result = Result(images=len(images), read={label: ", ".join(one.features) for label, one in wanted.items()})
    _lacking(wanted, captions, reference, result)
    opened = _open(wanted, settings, result)
    usable = _usable(wanted, result)
    if not usable:
        return result
    refused: dict[str, str] = {}
    extracted = _extract(images, _needs(usable), opened, settings, captions, refused)
    usable = _without(usable, refused, "", result)
    texts = _texts(usable, opened, captions)
    result.warnings += [f"images: {said}" for said in [*extracted.warnings(), *_duplicates(images)]]
    result.sizes, result.digests["images"] = extracted.sizes, images.digest
    if captions is not None:
        result.digests["captions"] = hashlib.sha256("\n".join(captions).encode()).hexdigest()
    comparing = {label: asked for label, asked in usable.items() if asked.metric.reference}
    compared = _reference(reference, comparing, opened, settings, result, extracted) if comparing else {}
    for label, asked in _usable(usable, result).items():
        try:
            given = _given(asked, extracted, texts)
            result.scores[label] = asked.metric.compute(given, compared.get(label), **asked.options)
        except Fault as fault:
            result.unavailable[label] = " ".join(fault.sentences)
    return result


def _usable(wanted: Mapping[str, Asked], result: Result) -> dict[str, Asked]:
    """Those that nothing is known against yet."""
    return {label: asked for label, asked in wanted.items() if label not in result.unavailable}


def _without(wanted: Mapping[str, Asked], refused: Mapping[str, str], where: str, result: Result) -> dict[str, Asked]:
    """Those whose networks could read every image; the others are unavailable for the network's reason."""
    for label, asked in wanted.items():
        if reasons := [refused[name] for name in asked.extractors if name in refused]:
            result.unavailable[label] = where + " ".join(reasons)
    return {label: asked for label, asked in wanted.items() if not refused.keys() & set(asked.extractors)}


def _given(asked: Asked, extracted: Extracted, texts: Texts) -> dict[str, np.ndarray]:
    """What one metric reads of the images and, under its own template, of the captions."""
    features = {key: extracted.features[key] for key in asked.features if key in extracted.features}
    for tower in asked.towers:
        features |= {f"{tower}.{output}": array for output, array in texts[tower, asked.template].items()}
    for name in asked.extractors:
        if f"{name}.truncated" in extracted.features:
            features[f"{name}.truncated"] = extracted.features[f"{name}.truncated"]
    return features


def _open(wanted: Mapping[str, Asked], settings: Settings, result: Result) -> dict[str, Extractor]:
    """The networks that the metrics read; a missing one makes its metrics unavailable."""
    opened: dict[str, Extractor] = {}
    failed: dict[str, str] = {}
    for label, asked in wanted.items():
        for name in asked.extractors if label not in result.unavailable else ():
            if name not in opened and name not in failed:
                try:
                    opened[name] = open_extractor(name, settings)
                    result.weights[name] = opened[name].identity
                except Fault as fault:
                    failed[name] = " ".join(fault.sentences)
            if name in failed:
                result.unavailable[label] = failed[name]
    return opened


def _lacking(
    wanted: Mapping[str, Asked], captions: Sequence[str] | None, reference: Path | Images | None, result: Result
) -> None:
    """Metrics that miss captions or a reference, told before any network is opened for them."""
    for label, asked in wanted.items():
        name = asked.metric.name
        inside = [one for one in asked.extractors if components.extractors()[one].trained_here]
        if inside:
            result.unavailable[label] = f"{name} reads {inside[0]}, which is trained inside a suite"
        elif not asked.features:
            example = f"for example --extractor {name}=dinov2.cls"
            result.unavailable[label] = f"{name} reads any features: say which, {example}"
        elif asked.reads_captions and captions is None:
            result.unavailable[label] = f"{name} compares images with captions: give --captions"
        elif asked.metric.reference and reference is None:
            result.unavailable[label] = f"{name} compares with a reference: give --reference"


def open_extractor(name: str, settings: Settings) -> Extractor:
    """With the user's file, the located one, or made weights where the user said so."""
    extractor = pick("extractor", dict(components.extractors()), name)
    if settings.random_weights is not None:
        return extractor.random(settings.random_weights, settings.device)
    return extractor.open(settings.weights.get(name), settings.device)


def check_device(name: str) -> None:
    """A device that torch has here, tried with one number."""
    import torch

    try:
        torch.zeros(1, device=name).item()
    except Exception as error:  # torch raises many kinds, from an unknown word to a missing driver
        raise Fault(f"there is no device '{name}' here: {str(error).splitlines()[0][:160]}") from None


def _needs(wanted: Mapping[str, Asked]) -> dict[str, list[str]]:
    """extractor -> image outputs, each once."""
    needs: dict[str, list[str]] = {}
    for asked in wanted.values():
        for name, outputs in asked.outputs.items():
            needs[name] = list(dict.fromkeys([*needs.get(name, ()), *outputs]))
    return needs


def _extract(
    images: Images,
    needs: Mapping[str, list[str]],
    opened: Mapping[str, Extractor],
    settings: Settings,
    captions: Sequence[str] | None = None,
    refused: dict[str, str] | None = None,
) -> Extracted:
    options = settings.geometry, settings.batch, settings.workers, settings.store
    return extract(images, needs, opened, *options, captions, refused)


def _texts(wanted: Mapping[str, Asked], opened: Mapping[str, Extractor], captions: Sequence[str] | None) -> Texts:
    """Caption embeddings, once per tower and template."""
    if captions is None:
        return {}
    asked_for = {(tower, asked.template) for asked in wanted.values() for tower in asked.towers}
    return {(tower, template): opened[tower].texts(captions, template) for tower, template in sorted(asked_for)}


def _reference(
    reference: Path | Images | None,
    wanted: Mapping[str, Asked],
    opened: Mapping[str, Extractor],
    settings: Settings,
    result: Result,
    extracted: Extracted,
) -> dict[str, dict[str, Any]]:
    """label -> what the images are compared with: statistics where the file has them, features of its images else."""
    assert reference is not None  # told by _lacking
    compared: dict[str, dict[str, Any]] = {}
    if isinstance(reference, Path) and (statistics := _statistics(reference, wanted, settings, opened)):
        key, moments = statistics
        by_moments = {label for label, one in wanted.items() if one.metric.from_statistics and one.features == (key,)}
        compared = {label: {key: moments} for label in by_moments}
        result.reference = moments.known_count
        wanted = {label: asked for label, asked in wanted.items() if label not in by_moments}
        if not _holds_images(reference):
            for label, asked in wanted.items():
                lacks = f"{label} needs the reference's features; {reference} holds statistics only"
                other = f"{label} reads {', '.join(asked.features)}; {reference} holds {key}"
                result.unavailable[label] = lacks if asked.features == (key,) else other
            return compared
    return compared | _features(reference, wanted, opened, settings, result, extracted) if wanted else compared


def _features(
    reference: Path | Images,
    wanted: Mapping[str, Asked],
    opened: Mapping[str, Extractor],
    settings: Settings,
    result: Result,
    extracted: Extracted,
) -> dict[str, dict[str, Any]]:
    """label -> features of the reference's images, and what was seen of them."""
    compared = reference if isinstance(reference, Images) else open_images(reference)
    result.reference = len(compared)
    refused: dict[str, str] = {}
    found = _extract(compared, _needs(wanted), opened, settings, refused=refused)
    result.warnings += [f"reference: {said}" for said in [*found.warnings(), *_duplicates(compared)]]
    result.digests["reference"] = compared.digest
    if set(found.sizes) != set(extracted.sizes):
        ours, theirs = (_sizes(part) for part in (extracted, found))
        result.warnings.append(f"images are {ours}, the reference {theirs}: the resize differs, and so does the score")
    readable = _without(wanted, refused, "reference: ", result)
    return {label: {key: found.features[key] for key in asked.features} for label, asked in readable.items()}


def _statistics(
    path: Path, wanted: Mapping[str, Asked], settings: Settings, opened: Mapping[str, Extractor]
) -> tuple[str, Moments] | None:
    """(feature, moments) where the file holds statistics that a metric may read; None where it holds images."""
    from benchmarks.metrics.statistics import foreign_statistics, read_file, read_statistics

    if path.suffix == ".safetensors":
        header, _ = read_file(path)
        extractor, output = header.get("family", "|").split("|")[0], header.get("output", "")
        expected = {"geometry": settings.geometry.identity}
        if extractor in opened:
            expected["family"] = opened[extractor].family
        return f"{extractor}.{output}", read_statistics(path, expected)
    if path.suffix == ".npz" and path.is_file() and {"mu", "sigma"} & set(archives.array_names(path)):
        if _holds_images(path) and not any(asked.metric.from_statistics for asked in wanted.values()):
            return None
        extractor, moments = foreign_statistics(path, settings.family)
        pick("extractor", dict(components.extractors()), extractor)
        return f"{extractor}.pool3", moments
    return None


def _holds_images(path: Path) -> bool:
    """Published batches hold images beside their mean and covariance."""
    return path.suffix == ".npz" and bool({"images", "arr_0"} & set(archives.array_names(path)))


def _sizes(extracted: Extracted) -> str:
    width, height = extracted.sizes.most_common(1)[0][0]
    others = len(extracted.sizes) - 1
    return f"{width} x {height}" + (f" and {others} other size{'s' if others > 1 else ''}" if others else "")


def _duplicates(images: Images) -> list[str]:
    """Repeated images, byte for byte: padding of a distributed sampler (a few), or a collapsed generator (many)."""
    found = images.duplicates
    told = f"{found:,} of {len(images):,} ({found / len(images):.2g}) repeat another one byte for byte"
    return [told] if found else []

"""Any images in, scores out: which extractors the metrics need, one pass, and what could not be computed and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import components
from benchmarks.extraction import Extracted, extract
from benchmarks.frechet import Moments
from benchmarks.geometry import AS_IS, Geometry
from benchmarks.images import Images, open_images
from sid.discovery import pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.extractor import Extractor
    from benchmarks.metric import Metric, Score
    from benchmarks.store import Store

TEXT = ("text", "truncated")  # outputs that captions give
DUPLICATES_TOLD = 0.01  # share of repeated images from which a warning is due


@dataclass
class Settings:
    """How the images are read and the networks opened."""

    geometry: Geometry = AS_IS
    batch: int = 32
    workers: int = 0
    device: str = "cpu"
    random_weights: int | None = None  # seed of made networks; every line then says so
    weights: Mapping[str, Path] = field(default_factory=dict)  # extractor -> file given by hand
    template: str = ""
    family: str | None = None  # extractor that made a foreign statistics file
    store: Store | None = None


@dataclass
class Result:
    """One line per metric, in the order asked for."""

    scores: dict[str, Score] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    images: int = 0
    reference: int | None = None
    weights: dict[str, str] = field(default_factory=dict)  # extractor -> sha256 or "random-<seed>"


def score(
    images: Images,
    wanted: Mapping[str, Mapping[str, Any]],
    reference: Path | Images | None = None,
    captions: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> Result:
    """`wanted` names metrics with options; one whose weights are missing is unavailable, the rest goes on."""
    settings = settings or Settings()
    if captions is not None and len(captions) != len(images):
        raise Fault(f"{len(images):,} images but {len(captions):,} captions: they must pair up")
    metrics = {name: pick("metric", dict(components.metrics()), name) for name in wanted}
    result = Result(images=len(images))
    _lacking(metrics, captions, reference, result)
    opened = _open(metrics, settings, result)
    usable = {name: metric for name, metric in metrics.items() if name not in result.unavailable}
    if not usable:
        return result
    needs = _needs(usable)
    extracted = _extract(images, needs, opened, settings, captions)
    _texts(extracted, usable, opened, captions, settings)
    result.warnings += [f"images: {said}" for said in extracted.warnings()]
    result.warnings += _duplicates(images)
    if any(metric.reference for metric in usable.values()):
        compared = _reference(reference, usable, needs, opened, settings, result, extracted)
    for name, metric in usable.items():
        if name in result.unavailable:
            continue
        features = {key: extracted.features[key] for key in metric.features if key in extracted.features}
        for key in metric.features:
            cut = f"{key.rpartition('.')[0]}.truncated"
            if cut in extracted.features:
                features[cut] = extracted.features[cut]
        try:
            held = {key: compared[key] for key in metric.features} if metric.reference else None
            result.scores[name] = metric.compute(features, held, **wanted[name])
        except Fault as fault:
            result.unavailable[name] = " ".join(fault.sentences)
    return result


def _open(metrics: Mapping[str, Metric], settings: Settings, result: Result) -> dict[str, Extractor]:
    """The networks that the metrics read; a missing one makes its metrics unavailable."""
    opened: dict[str, Extractor] = {}
    failed: dict[str, str] = {}
    for name, metric in metrics.items():
        if name in result.unavailable:
            continue
        for key in metric.features:
            extractor = key.rpartition(".")[0]
            if extractor not in opened and extractor not in failed:
                try:
                    opened[extractor] = open_extractor(extractor, settings)
                    result.weights[extractor] = opened[extractor].identity
                except Fault as fault:
                    failed[extractor] = " ".join(fault.sentences)
            if extractor in failed:
                result.unavailable[name] = failed[extractor]
    return opened


def _lacking(
    metrics: Mapping[str, Metric], captions: Sequence[str] | None, reference: Path | Images | None, result: Result
) -> None:
    """Metrics that miss captions or a reference, told before any network is opened for them."""
    known = components.extractors()
    for name, metric in metrics.items():
        towers = [key.rpartition(".")[::2] for key in metric.features]
        reads = any(output == "text" or (tower in known and known[tower].pairs) for tower, output in towers)
        if not metric.features:
            result.unavailable[name] = f"{name} reads features that a protocol names; images alone do not tell which"
        elif reads and captions is None:
            result.unavailable[name] = f"{name} compares images with captions: give --captions"
        elif metric.reference and reference is None:
            result.unavailable[name] = f"{name} compares with a reference: give --reference"


def open_extractor(name: str, settings: Settings) -> Extractor:
    """With the user's file, the located one, or made weights where the user said so."""
    extractor = pick("extractor", dict(components.extractors()), name)
    if settings.random_weights is not None:
        return extractor.random(settings.random_weights, settings.device)
    return extractor.open(settings.weights.get(name), settings.device)


def _needs(metrics: Mapping[str, Metric]) -> dict[str, list[str]]:
    """extractor -> image outputs, each once."""
    needs: dict[str, list[str]] = {}
    for metric in metrics.values():
        for key in metric.features:
            extractor, _, output = key.rpartition(".")
            pairs = components.extractors()[extractor].pairs
            wanted = [output, "truncated"] if pairs else [] if output in TEXT else [output]
            needs.setdefault(extractor, []).extend(part for part in wanted if part not in needs[extractor])
    return {extractor: outputs for extractor, outputs in needs.items() if outputs}


def _extract(
    images: Images,
    needs: Mapping[str, list[str]],
    opened: Mapping[str, Extractor],
    settings: Settings,
    captions: Sequence[str] | None = None,
) -> Extracted:
    options = settings.geometry, settings.batch, settings.workers, settings.store
    return extract(images, needs, opened, *options, captions)


def _texts(
    extracted: Extracted,
    metrics: Mapping[str, Metric],
    opened: Mapping[str, Extractor],
    captions: Sequence[str] | None,
    settings: Settings,
) -> None:
    """Caption embeddings, once per tower."""
    for metric in metrics.values():
        for key in metric.features:
            extractor, _, output = key.rpartition(".")
            if output != "text" or key in extracted.features or captions is None:
                continue
            found = opened[extractor].texts(captions, settings.template)
            extracted.features |= {f"{extractor}.{part}": array for part, array in found.items()}


def _reference(
    reference: Path | Images | None,
    metrics: Mapping[str, Metric],
    needs: Mapping[str, list[str]],
    opened: Mapping[str, Extractor],
    settings: Settings,
    result: Result,
    extracted: Extracted,
) -> dict[str, Any]:
    """What the images are compared with: features of other images, or statistics of one family."""
    asking = {name: metric for name, metric in metrics.items() if metric.reference}
    assert reference is not None  # told by _lacking
    if isinstance(reference, Path) and (statistics := _statistics(reference, settings, opened)):
        key, moments = statistics
        for name, metric in asking.items():
            if metric.features != (key,):
                result.unavailable[name] = f"{name} reads {', '.join(metric.features)}; {reference} holds {key}"
            elif not metric.from_statistics:
                result.unavailable[name] = f"{name} needs the reference's features; {reference} holds statistics only"
        result.reference = moments.count
        return {key: moments}
    compared = reference if isinstance(reference, Images) else open_images(reference)
    result.reference = len(compared)
    read = {key.rpartition(".")[0] for metric in asking.values() for key in metric.features}
    found = _extract(compared, {name: needs[name] for name in needs if name in read}, opened, settings)
    result.warnings += [f"reference: {said}" for said in found.warnings()]
    if set(found.sizes) != set(extracted.sizes) and found.sizes and extracted.sizes:
        ours, theirs = (_sizes(part) for part in (extracted, found))
        result.warnings.append(f"images are {ours}, the reference {theirs}: the resize differs, and so does the score")
    return dict(found.features)


def _statistics(path: Path, settings: Settings, opened: Mapping[str, Extractor]) -> tuple[str, Moments] | None:
    """(feature, moments) where the file holds statistics; None where it holds images."""
    from benchmarks.store import family, foreign_statistics, read_file, read_statistics

    if path.suffix == ".safetensors":
        header, _ = read_file(path)
        extractor, output = header.get("family", "|").split("|")[0], header.get("output", "")
        expected = {"geometry": settings.geometry.identity}
        if extractor in opened:
            expected["family"] = family(opened[extractor])
        return f"{extractor}.{output}", read_statistics(path, expected)
    if path.suffix == ".npz" and path.is_file():
        with np.load(path, allow_pickle=False) as loaded:
            if not {"mu", "sigma"} & set(loaded.files):
                return None
        extractor, moments = foreign_statistics(path, settings.family)
        pick("extractor", dict(components.extractors()), extractor)
        return f"{extractor}.pool3", moments
    return None


def _sizes(extracted: Extracted) -> str:
    width, height = extracted.sizes.most_common(1)[0][0]
    return f"{width} x {height}" + (f" and {len(extracted.sizes) - 1} other sizes" if len(extracted.sizes) > 1 else "")


def _duplicates(images: Images) -> list[str]:
    """Repeated images, byte for byte: padding of a distributed sampler, or a collapsed generator."""
    share = images.duplicates / len(images)
    told = f"{images.duplicates} of {len(images)} images ({share:.1%}) repeat another one byte for byte"
    return [told] if share >= DUPLICATES_TOLD else []

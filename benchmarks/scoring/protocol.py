"""Scores of any images as a protocol takes them: how many, which crop and resize, which features, which captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from benchmarks.data.open import open_dataset
from benchmarks.images import geometry
from benchmarks.images.reading import Images, decode
from benchmarks.scoring.requests import Asked, ask
from benchmarks.scoring.score import Result, Settings, score
from benchmarks.suite import components, files
from benchmarks.suite.protocol import Column, Protocol
from benchmarks.suite.strict import faults
from sid.discovery import UnknownName
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.scoring.score import Result
    from benchmarks.suite.protocol import Protocol


def read(name: str) -> Protocol:
    """A shipped protocol, or one in a file; every fault of it at once."""
    given = files.resolve("protocol", name)
    try:
        return Protocol.model_validate(given.content)
    except ValidationError as error:
        raise Fault([given.sentence(at, what) for at, what in faults(error, Protocol)]) from None


def score_by(
    protocol: Protocol,
    images: Images,
    reference: Path | None,
    captions: Sequence[str] | None,
    settings: Settings,
    chosen: Sequence[str] = (),
) -> Result:
    """The protocol's columns (or the chosen ones) on its number of images, one pass per crop and resize."""
    wanted = columns(protocol, chosen)
    images = images.first(protocol.samples)
    first = decode(images.content(0), images.names[0])[0]
    _size(protocol, wanted, Counter([first.shape[:0:-1]]))  # before the pass: it may take hours
    whole = Result(images=len(images), read=dict.fromkeys(wanted, ""))  # in the protocol's order
    for one in dict.fromkeys(protocol.metrics[name].geometry for name in wanted):
        group = {name: asked for name, asked in wanted.items() if protocol.metrics[name].geometry == one}
        passed = geometry.Geometry(one.crop, one.side, one.filter)
        merge(whole, score(images, group, reference, captions, replace(settings, geometry=passed)))
    whole.warnings += _size(protocol, wanted, whole.sizes)
    if reference is not None:
        whole.warnings += notes(protocol, wanted, reference, whole)
    whole.warnings = list(dict.fromkeys(whole.warnings))
    if protocol.selection.trials > 1:
        trials, rule = protocol.selection.trials, protocol.selection.rule
        whole.warnings.append(f"{protocol.name} reports the {rule} of {trials} trials: this is one of them")
    return whole


def _size(protocol: Protocol, wanted: Iterable[str], sizes: Counter) -> list[str]:
    """Images of another size than the protocol's models make: refused where they are scored as they are, else told."""
    side = protocol.rules.size
    others = sorted(f"{width} x {height}" for width, height in sizes if (width, height) != (side, side))
    if side is None or not others:
        return []
    told = f"{protocol.name} scores images of {side} x {side}, these are {', '.join(others[:3])}"
    if as_is := [name for name in wanted if not protocol.metrics[name].geometry.side]:
        raise Fault(f"{told}: {' and '.join(as_is)} would be another score")
    return [f"{told}, resized as it says"]


def columns(protocol: Protocol, chosen: Sequence[str] = ()) -> dict[str, Asked]:
    """column -> its metric, on the extractor that the protocol names."""
    for name in chosen:
        if name not in protocol.metrics:
            raise UnknownName(f"column of {protocol.name}", name, protocol.metrics)
    return {name: asked(protocol.metrics[name]) for name in chosen or protocol.metrics}


def asked(column: Column) -> Asked:
    """A column names one output; what else its metric reads comes from the same extractor."""
    own = components.metrics()[column.metric].features
    return ask(column.metric, column.options, column.extractor if len(own) > 1 else column.features)


def check_captions(protocol: Protocol, sha256: str, count: int) -> None:
    """The captions must be those of the protocol, by sha256 where it is known."""
    prompts = protocol.prompts
    if prompts is None:
        return
    if count != prompts.count:
        raise Fault(f"{protocol.name} has {prompts.count:,} captions ({prompts.name}), the file holds {count:,}")
    if prompts.sha256 and sha256 != prompts.sha256:
        raise Fault(f"the captions have sha256 {sha256}, those of {protocol.name} ({prompts.name}) {prompts.sha256}")


def merge(whole: Result, part: Result) -> None:
    """Another pass of the same images."""
    whole.scores |= part.scores
    whole.unavailable |= part.unavailable
    whole.warnings += part.warnings
    whole.weights |= part.weights
    whole.read |= part.read
    whole.digests |= part.digests
    whole.sizes |= part.sizes
    whole.reference = part.reference if part.reference is not None else whole.reference


def notes(protocol: Protocol, wanted: Iterable[str], given: Path, result: Result) -> list[str]:
    """A line per data set of the columns that were computed, unless the reference holds its very images."""
    columns = [protocol.metrics[name] for name in wanted if name in result.scores]
    sets = dict.fromkeys((column.reference.data, column.reference.split) for column in columns if column.reference)
    return [said for data, split in sets if (said := _note(protocol.name, data, split, given, result))]


def _note(protocol: str, data: str, split: str, given: Path, result: Result) -> str:
    """Byte for byte is certain; where that can't be told, it is said, and not that the reference is another."""
    named = f"{protocol} compares with {data}, {split}"
    digest = result.digests.get("reference") or _of_statistics(given)
    try:
        images = open_dataset(data).source(split)
    except (Fault, OSError):
        return f"{named}, which is not here: whether {given} is that was not checked"
    if result.reference is not None and result.reference != len(images):
        return f"{named}, {len(images):,} images; {given} has {result.reference:,}: the score is no score of {protocol}"
    if digest is None:
        return f"{named}; {given} does not say of which images it is"
    if digest != images.digest:
        return f"{named}; {given} is not the same byte for byte: other images, another order, or other files of them"
    return ""


def _of_statistics(given: Path) -> str | None:
    """The images that a file of this project's statistics was made of."""
    from benchmarks.metrics.statistics import read_file

    if given.suffix != ".safetensors":
        return None
    return read_file(given)[0].get("images")

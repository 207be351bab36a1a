"""Scores by a protocol: its columns as requests, its number and size of images, its captions, its references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from benchmarks.data.open import open_dataset
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Images, decode
from benchmarks.scoring.requests import Request, check_output, split
from benchmarks.scoring.score import Result, Scorer, ScoreSettings, score
from benchmarks.suite import components, files
from benchmarks.suite.protocol import Protocol
from benchmarks.suite.strict import faults
from sid.discovery import UnknownName, pick
from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.suite.protocol import Column


def read(name: str) -> Protocol:
    """A shipped protocol, or one in a file; every fault of it at once."""
    given = files.resolve("protocol", name)
    try:
        return Protocol.model_validate(given.content)
    except ValidationError as error:
        raise Fault([given.sentence(at, what) for at, what in faults(error, Protocol)]) from None


def columns(protocol: Protocol, chosen: Sequence[str] = ()) -> dict[str, Request]:
    """column -> its request; all of them, or the chosen ones."""
    for name in chosen:
        if name not in protocol.metrics:
            raise UnknownName(f"column of {protocol.name}", name, protocol.metrics)
    return {name: request_column(protocol.metrics[name]) for name in chosen or protocol.metrics}


def request_column(column: Column) -> Request:
    """A column as a request. It names one output of images; the captions' embeddings come from the same extractor."""
    metric = pick("metric", dict(components.metrics()), column.metric)
    if option_faults := metric.faults(column.options):
        raise Fault(option_faults)
    extractor, output = split(column.features)
    check_output(extractor, output)
    texts = [f"{extractor}.text" for key in metric.features if key.endswith(".text")]
    return Request(
        metric,
        (column.features, *texts),
        column.options,
        Geometry(**column.geometry.model_dump()),
        column.seed,
        column.only,
        column.reference,
    )


def scorer_of(protocol: Protocol, settings: ScoreSettings) -> Scorer:
    """For a run: every column against its own data set, in the protocol's batches."""
    return Scorer(columns(protocol), replace(settings, batch=protocol.batch))


def score_by(
    protocol: Protocol,
    images: Images,
    reference: Path | None,
    captions: Sequence[str] | None,
    settings: ScoreSettings,
    chosen: Sequence[str] = (),
) -> Result:
    """The protocol's columns on its number of images.

    Args:
        protocol: fixes everything that decides a number.
        images: at least as many as the protocol scores.
        reference: images or statistics in the place of the protocol's data sets; what differs is a warning.
        captions: one per image.
        settings: how images are read and networks opened.
        chosen: columns; all of them where none is named.
    """
    requests = columns(protocol, chosen)
    images = images.first(protocol.samples)
    first = decode(images.content(0), images.names[0])[0]
    _check_sizes(protocol, requests, Counter([first.shape[:0:-1]]))  # before the pass: it may take hours
    result = score(images, requests, reference, captions, settings)
    result.warnings += _check_sizes(protocol, requests, result.sizes)
    result.warnings += [f"{name}: {note}" for name in requests if (note := protocol.metrics[name].note)]
    if reference is not None:
        result.warnings += _reference_notes(protocol, reference, result)
    if protocol.selection.trials > 1:
        trials, rule = protocol.selection.trials, protocol.selection.rule
        result.warnings.append(f"{protocol.name} reports the {rule} of {trials} trials: this is one of them")
    return result


def check_captions(protocol: Protocol, sha256: str, count: int) -> None:
    """The captions must be those of the protocol, by sha256 where it is known."""
    prompts = protocol.prompts
    if prompts is None:
        return
    if count != prompts.count:
        raise Fault(f"{protocol.name} has {prompts.count:,} captions ({prompts.name}), the file holds {count:,}")
    if prompts.sha256 and sha256 != prompts.sha256:
        raise Fault(f"the captions have sha256 {sha256}, those of {protocol.name} ({prompts.name}) {prompts.sha256}")


def _check_sizes(protocol: Protocol, requests: Iterable[str], sizes: Counter) -> list[str]:
    """Images of another size than the protocol's models make: refused where they are scored as they are, else noted."""
    side = protocol.rules.size
    others = sorted(f"{width} x {height}" for width, height in sizes if (width, height) != (side, side))
    if side is None or not others:
        return []
    differs = f"{protocol.name} scores images of {side} x {side}, these are {', '.join(others[:3])}"
    if as_is := [name for name in requests if not protocol.metrics[name].geometry.side]:
        raise Fault(f"{differs}: {' and '.join(as_is)} would be another score")
    return [f"{differs}, resized as it says"]


def _reference_notes(protocol: Protocol, given: Path, result: Result) -> list[str]:
    """A line per data set of the columns that were computed, unless the reference holds its very images."""
    scored = [protocol.metrics[name] for name in result.read if name in result.scores]
    sets = dict.fromkeys((column.reference.data, column.reference.split) for column in scored if column.reference)
    return [note for data, split in sets if (note := _reference_note(protocol.name, data, split, given, result))]


def _reference_note(protocol: str, data: str, split: str, given: Path, result: Result) -> str:
    """Byte for byte is certain; where that can't be known, the note says so, and not that the reference is another."""
    named = f"{protocol} compares with {data}, {split}"
    digest = result.digests.get("reference") or _images_of_statistics(given)
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


def _images_of_statistics(given: Path) -> str | None:
    """The digest of the images that a file of this project's statistics was made of."""
    from benchmarks.metrics.statistics import read_header_and_arrays

    if given.suffix != ".safetensors":
        return None
    return read_header_and_arrays(given)[0].get("images")

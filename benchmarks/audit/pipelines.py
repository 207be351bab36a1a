"""From image files to a distance: every peer with the same network, on the files as it reads them and as we do.

A peer's value is what it prints: its own reader, resize, network and distance. Where it read other files or other
pixels than we did, a second line has its value on ours; "files read" is the cause that our pipeline measures on the
peer's files. Features of an image are computed once per network. Where both sets together have fewer images than
features have dimensions, a peer's distance is computed in the span of the features: the same number without the zeros.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.audit.attribute import AuditRow, attribute, compared, explanation, sensitivity, singles
from benchmarks.audit.bench import Bench, in_span
from benchmarks.audit.described import DESCRIBED, described
from benchmarks.audit.networks import uninitialised
from benchmarks.audit.peer import GivenNetwork, PeerNetwork, guarded, peers
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pixels import PixelSet
from benchmarks.audit.tables import AuditTable, calls, unavailable
from benchmarks.audit.workers import side_by_side
from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

BASELINES = {
    "inception-tf": PeerRecipe(),
    "inception-clean": PeerRecipe(resize="clean"),
    "inception-torch": PeerRecipe(resize="bilinear", normalisation="v/127.5-1"),
    "inception-antialias": PeerRecipe(resize="antialiased"),
}
TAPS = {64: "64", 192: "192", 768: "768", 2048: "pool3"}  # dimension of the features -> our name of the output
BATCH = 16
Progress = Callable[[str, float | None], None]  # with the next step, and the seconds that are left where that is known


@dataclass
class Subject:
    """Two folders of images, the network's tensors, and the labels of the rows."""

    images: Path
    reference: Path
    state: dict[str, Tensor]
    label: str
    pixels_label: str
    tap: int = 2048
    device: str = "cpu"  # of this project's own network, which makes most passes; peers run on the CPU


@dataclass
class Pace:
    """Announces steps with the time that is left, from the images that passed the network so far."""

    progress: Progress
    images: int  # of all steps
    passed: int = 0
    started: float = 0.0

    def step(self, what: str, images: int) -> None:
        self.started = self.started or time.monotonic()
        elapsed = time.monotonic() - self.started
        left = elapsed / self.passed * (self.images - self.passed) if self.passed else None
        self.progress(what, left)
        self.passed += images


def read_ours(folder: Path) -> tuple[PixelSet, list[str]]:
    """The images that our reader takes from a folder, and the sentences on those it refuses."""
    from benchmarks.images.reading import decode, open_images

    images = open_images(folder)
    pixels: dict[str, np.ndarray] = {}
    refused: list[str] = []
    for index, name in enumerate(images.names):
        try:
            pixels[name] = decode(images.content(index), name)[0].copy()
        except Fault as fault:
            refused += fault.sentences
    if len(pixels) < 2:
        raise Fault([f"{folder}: a distance needs at least 2 images, {len(pixels)} can be read", *refused])
    return PixelSet(tuple(pixels), tuple(pixels.values())), refused


def pipelines(
    subject: Subject,
    baseline: str,
    progress: Progress = lambda what, left: None,
    all_factors: bool = False,
    reported: float | None = None,
    within: float = 0.0,
) -> list[AuditTable]:
    """The families of this project, every peer, and one factor at a time.

    Args:
        subject: the images and the network.
        baseline: the family that deviations are measured from.
        progress: called with every step.
        all_factors: also factors, and pairs of them, for which the images must pass the network again.
        reported: a value that somebody prints for these images, to be explained.
        within: how exactly it is known.
    """
    (images, refused), (reference, refused_too) = read_ours(subject.images), read_ours(subject.reference)
    with uninitialised():
        network = _network(subject.state).to(subject.device)
    bench, start = Bench(network, images, reference, TAPS[subject.tap], subject.device), BASELINES[baseline]
    label, count = subject.label, len({*images.keys, *reference.keys})
    table = AuditTable(
        f"FID of {len(images)} images against {len(reference)}, from the files", f"distance; deviation from {baseline}"
    )
    with tempfile.TemporaryDirectory() as folder:
        given = GivenNetwork(subject.state, _saved(subject.state, Path(folder)), subject.tap)
        broken: list[AuditRow] = []
        with uninitialised():
            ways = calls(lambda peer: peer.networks(given), broken, label)
        others = [convention.recipe for convention in DESCRIBED.values() if convention.recipe]
        changed = [recipe for _, recipe in singles(bench, start)] if all_factors or reported is not None else []
        asked = [*BASELINES.values(), *(way.recipe for way in ways.values()), *others]
        pace = Pace(progress, _passes(bench, start, asked, changed) + count * len(ways))
        for name, recipe in BASELINES.items():
            pace.step(f"sidbench {name}", _passes(bench, start, [recipe]))
            table.rows.append(attribute(f"sidbench {name}", bench.value(recipe), recipe, bench, start, label))
        table.rows[0].note = " ".join(f"Left out: {sentence}." for sentence in (*refused, *refused_too))
        table.rows += broken
        for name, way in ways.items():
            pace.step(name, count + _passes(bench, start, [way.recipe]))
            outcome = guarded(_lines, way, name, subject, bench, start)
            table.rows += [unavailable(name, outcome, label)] if outcome.broken else outcome.value
    pace.step("implementations that are not installed", _passes(bench, start, others))
    table.rows += described(bench, start, label)
    if reported is not None:
        pace.step("the reported value", bench.passes(*changed))
        note = explanation(reported, start, bench, within, all_factors)
        verdict = "unexplained" if note.startswith("not explained") else "explained"
        row = AuditRow(
            "reported value", reported, reported - bench.value(start), verdict=verdict, label=label, note=note
        )
        table.rows.append(row)
    pace.step("one factor at a time", bench.passes(*changed))
    title = f"One factor at a time, from {baseline}"
    return [table, AuditTable(title, "distance", sensitivity(bench, start, label, all_factors))]


def _passes(bench: Bench, start: PeerRecipe, recipes: Sequence[PeerRecipe], changed: Sequence[PeerRecipe] = ()) -> int:
    """How many images must pass our network to attribute these recipes' values, and for values that are changed."""
    asked = [start, *changed]
    for recipe in recipes:
        stated, alone = compared(recipe, bench, start)
        asked += [stated, *alone.values()]
    return bench.passes(*asked)


def _lines(way: PeerNetwork, name: str, subject: Subject, bench: Bench, start: PeerRecipe) -> list[AuditRow]:
    """A peer's value on the files as it reads them, and if those are others, on the images that we read."""
    ours, folders = bench.sets, (subject.images, subject.reference)
    theirs = ours if way.read is None else tuple(way.read(folder) for folder in folders)
    for folder, read in zip(folders, theirs, strict=True):
        if len(read) < 2:
            raise Fault(f"it reads {len(read)} images of {folder}")
    differs = [mine.unlike(read) for mine, read in zip(ours, theirs, strict=True)]
    seen = bench.reading(*theirs) if any(differs) else None
    rows: dict[str, np.ndarray] = {}  # image -> features of this network
    value = _value(way, name, theirs, rows)
    printed = attribute(name, value, way.recipe, bench, start, subject.label, seen)
    remarks = [f"{of}: {how}." for of, how in zip(("Images", "Reference"), differs, strict=True) if how]
    reader = ["It has no reader of files: ours."] if way.read is None else []
    printed.note = " ".join(remark for remark in (*remarks, *reader, printed.note, way.note) if remark)
    if seen is None:
        return [printed]
    ours_value = _value(way, name, ours, rows)
    return [printed, attribute(f"{name}, our reader", ours_value, way.recipe, bench, start, subject.label)]


def _value(way: PeerNetwork, name: str, sets: Sequence[PixelSet], rows: dict[str, np.ndarray]) -> float:
    """A peer's distance by its own function on its own features; `rows` keeps those of images it saw before."""
    first, second = (peer_features(way, images, rows) for images in sets)
    if len(first) + len(second) < first.shape[1]:
        first, second = in_span(first, second)
    (own,) = peers()[name.split()[0]].distances().values()
    return float(own.run(first, second))


def peer_features(way: PeerNetwork, images: PixelSet, rows: dict[str, np.ndarray]) -> np.ndarray:
    """A peer's features of a set; those that `rows` lacks, by image, are made in batches of one size and stay in it."""
    import torch

    sizes: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for key, pixels in zip(images.keys, images.pixels, strict=True):
        if key not in rows:
            sizes.setdefault(pixels.shape, {})[key] = pixels
    batches = [
        dict(list(members.items())[first : first + BATCH])
        for members in sizes.values()
        for first in range(0, len(members), BATCH)
    ]

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return way.run(torch.from_numpy(np.stack(list(batch.values())))).float().numpy()

    for batch, made in zip(batches, side_by_side(run, batches), strict=True):
        rows.update(zip(batch, made, strict=True))
    return np.stack([rows[key] for key in images.keys])


def _network(state: dict[str, Tensor]) -> Any:
    from benchmarks.features.networks.inception import Inception

    network = Inception()
    network.load_state_dict(state)
    return network.fold()


def _saved(state: dict[str, Tensor], folder: Path) -> Path:
    """Writes the tensors to a file that the peers can load."""
    import torch

    torch.save(state, folder / "network.pth")
    return folder / "network.pth"

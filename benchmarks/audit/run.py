"""The audit: arithmetic, resizes and whole pipelines of every installed implementation, on the same images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.audit.attribute import TOLERANCE, AuditRow, attribute, scale, sensitivity
from benchmarks.audit.peer import GivenNetwork, Outcome, Peer, PeerCall, guarded, peers
from benchmarks.audit.peer_recipe import Bench, FeatureBench, PeerRecipe
from benchmarks.suite import components

if TYPE_CHECKING:
    from torch import Tensor

KERNEL_SUBSET = 250
FEATURE_DIMENSION, FEATURE_COUNT = 64, 600  # of the synthetic features
BASELINES = {
    "inception-tf": PeerRecipe(),
    "inception-clean": PeerRecipe(resize="clean"),
    "inception-torch": PeerRecipe(resize="bilinear", normalisation="v/127.5-1"),
    "inception-antialias": PeerRecipe(resize="antialiased"),
}


@dataclass
class AuditTable:
    """Rows whose values have the same unit."""

    title: str
    unit: str
    rows: list[AuditRow] = field(default_factory=list)


@dataclass
class Subject:
    """Two folders of images, the network's tensors, and the labels of the rows."""

    images: Path
    reference: Path
    state: dict[str, Tensor]
    label: str
    pixels_label: str


def audit(
    subject: Subject, baseline: str = "inception-tf", progress: Callable[[str], None] = lambda what: None
) -> list[AuditTable]:
    """All tables; a broken peer is a row with the reason. `progress` is called with the next step: all take minutes."""
    progress("arithmetic on synthetic features")
    tables = arithmetic()
    progress("resize kernels")
    tables.append(resizes(subject))
    tables += pipelines(subject, baseline, progress)
    return tables


def calls(kind: Callable[[Peer], dict[str, PeerCall]], broken: list[AuditRow], label: str) -> dict[str, PeerCall]:
    """The calls of all peers by "<peer> <version> <call>"; appends a row to `broken` for each peer without calls."""
    available: dict[str, PeerCall] = {}
    for name, peer in peers().items():
        version = guarded(peer.version_of)
        outcome = version if version.broken else guarded(kind, peer)
        if outcome.broken:
            broken.append(_unavailable(name, outcome, label))
            continue
        available |= {f"{name} {version.value} {way}": call for way, call in outcome.value.items()}
    return available


def arithmetic(seed: int = 0) -> list[AuditTable]:
    """Frechet distance, KID, IS, precision and recall of the same synthetic features by every peer's functions."""
    label = "synthetic features"
    rng = np.random.default_rng(seed)
    mixing = np.eye(FEATURE_DIMENSION) + 0.3 * rng.standard_normal((FEATURE_DIMENSION, FEATURE_DIMENSION))
    images = rng.standard_normal((FEATURE_COUNT, FEATURE_DIMENSION)) @ mixing + 0.1
    reference = rng.standard_normal((FEATURE_COUNT, FEATURE_DIMENSION)) @ mixing
    logits = 3 * rng.standard_normal((FEATURE_COUNT, 100))
    bench = FeatureBench(images, reference)
    title = f"Frechet distance of {FEATURE_COUNT} x {FEATURE_DIMENSION} features"
    first = AuditTable(
        title, "distance", [AuditRow("sidbench frechet", bench.value(PeerRecipe()), 0.0, residue=0.0, label=label)]
    )
    for name, call in calls(lambda peer: peer.distances(), first.rows, label).items():
        outcome = guarded(call.run, images, reference)
        recipe = call.recipe.changed("precision", "float64")  # the precision of these features; networks return float32
        first.rows.append(
            _unavailable(name, outcome, label)
            if outcome.broken
            else attribute(name, outcome.value, recipe, bench, PeerRecipe(), label)
        )
    pair = ({"a.b": images}, {"a.b": reference})
    kernels = _seeded("KID, 100 subsets", "kid", lambda peer: peer.kernels(KERNEL_SUBSET), pair, label)
    scores = _seeded("Inception Score", "inception-score", lambda peer: peer.scores(), ({"a.b": logits},), label)
    return [first, kernels, scores, _neighbours(images, reference, label)]


def _seeded(
    title: str, metric: str, kind: Callable[[Peer], dict[str, PeerCall]], given: tuple, label: str
) -> AuditTable:
    """A metric with random draws: each peer against our value on its draws, and against ours on our own.

    Args:
        title: of the table.
        metric: the name of our metric.
        kind: the peers' calls of that metric.
        given: features, and those of the reference if the metric has one, as our metric takes them.
        label: of the rows.
    """
    component = components.metrics()[metric]
    plain = component.compute(*given).value
    table = AuditTable(title, metric, [AuditRow(f"sidbench {metric}", plain, 0.0, residue=0.0, label=label)])
    arrays = [next(iter(part.values())) for part in given]
    for name, call in calls(kind, table.rows, label).items():
        outcome = guarded(call.run, *arrays)
        if outcome.broken:
            table.rows.append(_unavailable(name, outcome, label))
            continue
        options: Mapping[str, Any] = call.compatible or {}
        if metric == "kid":
            options = {"subsets": 100, "subset_size": KERNEL_SUBSET, **options}
        ours = call.twin(*arrays) if call.twin else component.compute(*given, **options).value
        drawn, residue = ours - plain, outcome.value - ours
        row = AuditRow(name, outcome.value, outcome.value - plain, {"random draws": drawn}, 0.0, residue, label=label)
        large = abs(residue) > TOLERANCE * scale(outcome.value)
        row.verdict = "unexplained" if large else "explained" if abs(drawn) > TOLERANCE * scale(plain) else "ok"
        table.rows.append(row)
    return table


def _neighbours(images: np.ndarray, reference: np.ndarray, label: str) -> AuditTable:
    metrics = components.metrics()
    ours = [metrics[name].compute({"a.b": images}, {"a.b": reference}).value for name in ("precision", "recall")]
    table = AuditTable("Precision and recall, k = 3", "share")
    for part, value in zip(("precision", "recall"), ours, strict=True):
        table.rows.append(AuditRow(f"sidbench {part}", value, 0.0, residue=0.0, label=label))
    for name, call in calls(lambda peer: peer.neighbours(), table.rows, label).items():
        outcome = guarded(call.run, images, reference)
        if outcome.broken:
            table.rows.append(_unavailable(name, outcome, label))
            continue
        for part, value, theirs in zip(("precision", "recall"), ours, outcome.value, strict=True):
            residue = theirs - value
            verdict = "unexplained" if abs(residue) > TOLERANCE else "ok"
            table.rows.append(
                AuditRow(f"{name} {part}", theirs, residue, residue=residue, verdict=verdict, label=label)
            )
    return table


def resizes(subject: Subject) -> AuditTable:
    """The rms distance of every kernel from the clean one, and of each peer from our kernel, in grey levels."""
    import torch

    from benchmarks.audit.peer import image_batches
    from benchmarks.audit.peer_recipe import ALTERNATIVES, resized

    label = subject.pixels_label
    images = next(image_batches(subject.images, 4))
    clean = resized(images, PeerRecipe(resize="clean"))

    def rms(first: Tensor, second: Tensor) -> float:
        return float(torch.sqrt(((first - second) ** 2).mean()))

    table = AuditTable("Resize to 299: rms distance from the clean kernel", "grey levels")
    for name in ALTERNATIVES["resize"]:
        value = rms(resized(images, PeerRecipe(resize=name)), clean)
        table.rows.append(AuditRow(f"sidbench {name}", value, value, residue=0.0, verdict="", label=label))
    rounded = rms(resized(images, PeerRecipe(resize="clean", rounding="after resize")), clean)
    table.rows.append(
        AuditRow("sidbench clean, rounded to uint8", rounded, rounded, residue=0.0, verdict="", label=label)
    )
    for name, call in calls(lambda peer: peer.resizes(), table.rows, label).items():
        outcome = guarded(call.run, images)
        if outcome.broken:
            table.rows.append(_unavailable(name, outcome, label))
            continue
        value, residue = rms(outcome.value, clean), rms(outcome.value, resized(images, call.recipe))
        verdict = "unexplained" if residue > 1e-2 else "ok" if call.recipe.resize == "clean" else "explained"
        cause = {} if call.recipe.resize == "clean" else {f"resize: {call.recipe.resize}": value}
        table.rows.append(AuditRow(name, value, value, cause, 0.0, residue, verdict, label=label))
    return table


def pipelines(subject: Subject, baseline: str, progress: Callable[[str], None] = lambda what: None) -> list[AuditTable]:
    """From image files to a distance: every peer with the same network, then every factor changed alone."""
    from benchmarks.features.networks.inception import Inception
    from benchmarks.images.reading import decode, open_images

    network = Inception()
    network.load_state_dict(subject.state)
    network.fold()
    sets: list[list[np.ndarray]] = []
    for source in (subject.images, subject.reference):
        images = open_images(source)
        sets.append([decode(images.read(index), images.names[index])[0].copy() for index in range(len(images))])
    bench, start = Bench(network, sets[0], sets[1]), BASELINES[baseline]
    label = subject.label
    title = f"FID of {len(sets[0])} images against {len(sets[1])}, from the files"
    table = AuditTable(title, f"distance; deviation from {baseline}")
    for name, recipe in BASELINES.items():
        progress(f"sidbench {name}, {len(sets[0]) + len(sets[1])} images")
        table.rows.append(attribute(f"sidbench {name}", bench.value(recipe), recipe, bench, start, label))
    stylegan = start.changed("ddof", 0)
    table.rows.append(
        attribute("sidbench fid, variant sid-metrics", bench.value(stylegan), stylegan, bench, start, label)
    )
    with tempfile.TemporaryDirectory() as folder:
        given = GivenNetwork(subject.state, _saved(subject.state, Path(folder)))
        for name, call in calls(lambda peer: peer.networks(given), table.rows, label).items():
            progress(name)
            outcome = guarded(_whole, call, name, subject)
            if outcome.broken:
                table.rows.append(_unavailable(name, outcome, label))
                continue
            value, counts = outcome.value
            row = attribute(name, value, call.recipe, bench, start, label)
            row.note = f"{row.note} {call.note}".strip()
            if counts != (len(sets[0]), len(sets[1])):
                row.note = (
                    f"it read {counts[0]} and {counts[1]} images of {len(sets[0])} and {len(sets[1])}. {row.note}"
                )
            table.rows.append(row)
    progress("one factor at a time")
    return [table, AuditTable(f"One factor at a time, from {baseline}", "distance", sensitivity(bench, start, label))]


def _whole(call: PeerCall, name: str, subject: Subject) -> tuple[float, tuple[int, int]]:
    """A peer's distance by its own function on its own features, and the numbers of images it read."""
    first, second = call.run(subject.images), call.run(subject.reference)
    peer = peers()[name.split()[0]]
    (own,) = peer.distances().values()
    return float(own.run(first, second)), (len(first), len(second))


def _saved(state: dict[str, Tensor], folder: Path) -> Path:
    """Writes the tensors to a file that the peers can load."""
    import torch

    torch.save(state, folder / "network.pth")
    return folder / "network.pth"


def _unavailable(name: str, outcome: Outcome, label: str) -> AuditRow:
    return AuditRow(name, None, verdict="unavailable", note=outcome.broken, label=label)

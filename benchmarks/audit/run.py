"""The audit: arithmetic, resizes and whole pipelines of every installed implementation, on the same images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.audit.attribute import TOLERANCE, AuditRow, attribute, scale
from benchmarks.audit.bench import FeatureBench
from benchmarks.audit.peer import Peer, PeerCall, guarded
from benchmarks.audit.peer_recipe import ALTERNATIVES, PeerRecipe
from benchmarks.audit.pipelines import Progress, Subject, pipelines, read_ours
from benchmarks.audit.pixels import resized
from benchmarks.audit.tables import AuditTable, calls, unavailable
from benchmarks.suite import components

if TYPE_CHECKING:
    from torch import Tensor

KERNEL_SUBSET = 250
FEATURE_DIMENSION, FEATURE_COUNT = 64, 600  # of the synthetic features


def audit(
    subject: Subject,
    baseline: str = "inception-tf",
    progress: Progress = lambda what, left: None,
    all_factors: bool = False,
    reported: float | None = None,
    within: float = 0.0,
) -> list[AuditTable]:
    """All tables; a broken peer is a row with the reason. The arguments are those of `pipelines`."""
    progress("arithmetic on synthetic features", None)
    tables = arithmetic()
    progress("resize kernels", None)
    tables.append(resizes(subject))
    return tables + pipelines(subject, baseline, progress, all_factors, reported, within)


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
            unavailable(name, outcome, label)
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
            table.rows.append(unavailable(name, outcome, label))
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
            table.rows.append(unavailable(name, outcome, label))
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

    label = subject.pixels_label
    first, *rest = read_ours(subject.images)[0].pixels
    images = torch.from_numpy(np.stack([first, *(image for image in rest if image.shape == first.shape)][:4]))
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
            table.rows.append(unavailable(name, outcome, label))
            continue
        value, residue = rms(outcome.value, clean), rms(outcome.value, resized(images, call.recipe))
        verdict = "unexplained" if residue > 1e-2 else "ok" if call.recipe.resize == "clean" else "explained"
        cause = {} if call.recipe.resize == "clean" else {f"resize: {call.recipe.resize}": value}
        table.rows.append(AuditRow(name, value, value, cause, 0.0, residue, verdict, label=label))
    return table

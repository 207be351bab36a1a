"""From what a suite says to what the training loop and the scores are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data.open import stated
from benchmarks.suite import components
from benchmarks.suite.config import Budget, Entry
from benchmarks.suite.protocol import Geometry, Protocol
from sid.loop.recipe import Recipe
from sid.method import Adapters

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite


NEWER = ("real", "random_weights", "student", "engine")  # keys that came after the first tables
IDLE = ("log_images", "save_seconds")  # settings of the loop that change no number


def recipe_of(budget: Budget, seed: int, stop_players: Mapping[str, float] | None = None) -> Recipe:
    """The training loop's settings: whole batches, and the curve's points on whole batches too."""
    iterations = -(-budget.images // budget.batch)
    points = {round(iterations ** (k / budget.observe)) for k in range(1, budget.observe + 1)}
    return Recipe(
        seed=seed,
        images=iterations * budget.batch,
        batch=budget.batch,
        micro_batch=budget.micro_batch,
        ema_halflife=budget.ema_halflife,
        ema_ramp=budget.ema_ramp,
        observe=tuple(sorted(point * budget.batch for point in points)),
        stop_players=dict(stop_players or {}),
        student=None if budget.student is None else Adapters(**budget.student.model_dump(exclude_unset=True)),
        clip_norm=budget.clip_norm,
        dtype=budget.dtype,
    )


def decisive(recipe: Recipe) -> dict[str, Any]:
    """What of a recipe decides the result."""
    # A student without adapters is not told of them, so that their coming renamed no result.
    idle = (*IDLE, "student") if recipe.student is None else IDLE
    return {key: value for key, value in asdict(recipe).items() if key not in idle}


def scored(protocol: Protocol) -> dict[str, Any]:
    """What of a protocol decides a score; the rest decides how it is shown."""
    shown = {"decimals", "tolerance"}
    columns = {name: column.model_dump(mode="json", exclude=shown) for name, column in protocol.metrics.items()}
    for name, column in protocol.metrics.items():
        for key, idle in (("geometry", Geometry()), ("seed", 0), ("only", None)):
            if getattr(column, key) == idle:
                del columns[name][key]
    # Rules that stay at their defaults are absent, so that a new kind of rule renames no result.
    stated = protocol.model_dump(mode="json", include={"rules", "prompts", "selection"}, exclude_defaults=True)
    return {"samples": protocol.samples, "seed": protocol.seed, "metrics": columns, **stated}


def sampled(entry: Entry) -> dict[str, Any]:
    """How a teacher is sampled, beyond its steps, where the entry says so."""
    told = entry.model_dump(mode="json", include={"kappa", "sampler", "churn"}, exclude_defaults=True)
    return {"sampling": told} if told else {}


def seeded(extractor: str, seed: int) -> str:
    """A trained extractor's name among a run's: the seed is told where it is not the first."""
    return f"{extractor}@{seed}" if seed else extractor


def score_versions(protocol: Protocol) -> dict[str, int]:
    """The versions of all that takes part in the scores."""
    versions = {}
    for column in protocol.metrics.values():
        versions[f"metric:{column.metric}"] = components.metrics()[column.metric].version
        versions[f"extractor:{column.extractor}"] = components.extractors()[column.extractor].version
        if column.reference is not None:
            versions |= stated(column.reference.data)
    return versions


def tabled(suite: Suite) -> dict[str, Any]:
    """What of a suite its tables show. Newer keys are absent at their defaults, so that no table is outdated."""
    said: dict[str, Any] = _said(suite.model_dump(mode="json", exclude={"protocols", "extends"}))
    for task in said["tasks"].values():
        if not task["entries"]:
            del task["entries"]
    return said


def _said(value: Any) -> Any:
    """Without machines, on which no result depends, and without the newer keys that say nothing."""
    if not isinstance(value, dict):
        return value
    hidden = {"machine", *(key for key in NEWER if value.get(key) is None)}
    return {key: _said(item) for key, item in value.items() if key not in hidden}


def fingerprint(files: Iterable[Path]) -> str:
    """Of the committed values that a table compares with; missing files are as good as none."""
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:12]


def digest(section: Mapping[str, Any], versions: Mapping[str, int], inputs: Iterable[str] = ()) -> str:
    """The first 12 characters of the sha256 of the canonical JSON: equal meaning, equal digest."""
    content = {"section": section, "versions": versions, "inputs": sorted(inputs)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]

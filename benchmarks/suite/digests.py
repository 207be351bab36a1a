"""What of a suite decides a result, as plain data, and the digests over it.

A digest names files on users' disks: what these functions return must not change for a suite that has not changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.data.open import dataset_version
from benchmarks.suite import components
from benchmarks.suite.checks import options_of
from benchmarks.suite.config import Budget, Entry
from benchmarks.suite.protocol import GeometrySection, Protocol
from sid.loop.settings import LoopSettings
from sid.method import Adapters, Copy, Head, Student

if TYPE_CHECKING:
    from benchmarks.suite.config import Suite


DIGITS = 12  # of a digest
# Added after the first tables; absent from them if unset.
LATER_KEYS = ("real", "random_weights", "student", "engine", "quantiser", "across")
WHOLE = (Copy, Head, Student)  # networks with weights of their own; adapters stay with their base
NO_EFFECT = ("log_images", "save_seconds")  # settings of the loop that change no number


def digest(section: Mapping[str, Any], versions: Mapping[str, int], inputs: Iterable[str] = ()) -> str:
    """The first characters of the sha256 of the canonical JSON: equal meaning, equal digest.

    Args:
        section: Everything in the suite that decides the result.
        versions: Component -> version, of every component that takes part.
        inputs: Digests of the jobs whose files are read.
    """
    content = {"section": section, "versions": versions, "inputs": sorted(inputs)}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:DIGITS]


def fingerprint(files: Iterable[Path]) -> str:
    """A digest of committed files that a table compares with; missing ones are left out."""
    total = hashlib.sha256()
    for file in files:
        if file.is_file():
            total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:DIGITS]


def recipe_of(budget: Budget, seed: int, stop_players: Mapping[str, float] | None = None) -> LoopSettings:
    """The training loop's settings: whole batches, and the curve's points on whole batches too."""
    iterations = -(-budget.images // budget.batch)
    points = {round(iterations ** (k / budget.observe)) for k in range(1, budget.observe + 1)}
    return LoopSettings(
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


def decisive(recipe: LoopSettings) -> dict[str, Any]:
    """The loop's settings that decide the result."""
    # `student` came later: without adapters it is absent, so that older digests stay.
    excluded = (*NO_EFFECT, "student") if recipe.student is None else NO_EFFECT
    return {key: value for key, value in asdict(recipe).items() if key not in excluded}


def scored(protocol: Protocol) -> dict[str, Any]:
    """The keys of a protocol that decide a score; the others decide how it is shown."""
    shown = {"decimals", "tolerance", "note"}
    columns = {name: column.model_dump(mode="json", exclude=shown) for name, column in protocol.metrics.items()}
    for name, column in protocol.metrics.items():
        for key, default in (("geometry", GeometrySection()), ("seed", 0), ("only", None)):
            if getattr(column, key) == default:
                del columns[name][key]
        _drop_later_keys(columns[name])
    # Rules at their defaults are absent, so that a new kind of rule changes no digest.
    rules = protocol.model_dump(mode="json", include={"rules", "prompts", "selection"}, exclude_defaults=True)
    return {"samples": protocol.samples, "seed": protocol.seed, "metrics": columns, **rules}


def sampled(entry: Entry) -> dict[str, Any]:
    """How a teacher or a student is sampled, beyond its steps, where that is not the default."""
    sampling = entry.model_dump(mode="json", include={"kappa", "sampler", "churn"}, exclude_defaults=True)
    return {"sampling": sampling} if sampling else {}


def seeded(extractor: str, seed: int) -> str:
    """The name of an extractor that is trained here, with its seed unless that is 0."""
    return f"{extractor}@{seed}" if seed else extractor


def score_versions(protocol: Protocol) -> dict[str, int]:
    """The versions of all components that take part in the scores."""
    versions = {}
    for column in protocol.metrics.values():
        versions[f"metric:{column.metric}"] = components.metrics()[column.metric].version
        versions[f"extractor:{column.extractor}"] = components.extractors()[column.extractor].version
        if column.reference is not None:
            versions |= dataset_version(column.reference.data)
    return versions


def tabled(suite: Suite) -> dict[str, Any]:
    """The keys of a suite that its tables depend on."""
    shown: dict[str, Any] = _shown(suite.model_dump(mode="json", exclude={"protocols", "extends"}))
    for task in shown["tasks"].values():
        if not task["entries"]:
            del task["entries"]
    return shown


def tabled_protocol(protocol: Protocol) -> dict[str, Any]:
    """The keys of a protocol that its tables depend on: `shard` and `keep_images` change no number."""
    shown = protocol.model_dump(mode="json", exclude={"shard", "keep_images"})
    for column in shown["metrics"].values():
        _drop_later_keys(column)
    return shown


def _drop_later_keys(column: dict[str, Any]) -> None:
    """Keys of a column that came after the first tables are absent at their defaults, so that older digests stay."""
    if "geometry" in column and column["geometry"]["rounding"] == "floor":
        del column["geometry"]["rounding"]
    if column.get("note") == "":
        del column["note"]


def _shown(value: Any) -> Any:
    """Without `machine`, on which no result depends, and without later keys that are unset."""
    if not isinstance(value, dict):
        return value
    hidden = {"machine", *(key for key in LATER_KEYS if value.get(key) is None)}
    if "label" in value and value.get("prompts") is None:  # a row's prompts came later than a task's
        hidden.add("prompts")
    return {key: _shown(item) for key, item in value.items() if key not in hidden}


def taken_networks(suite: Suite, task: str, entry: str) -> list[str]:
    """What the entry's method goes on from, where the row it begins from trained it too."""
    entries = suite.entries_of(task)
    row = entries[entry]
    if row.init is None or row.method is None:
        return []
    method, source = components.methods()[row.method], components.methods()[entries[row.init].method or ""]
    if not method.continues:
        return []
    own = method.build(options_of(suite, task, entry))
    theirs = source.build(options_of(suite, task, row.init))
    return sorted(
        name
        for name in method.continues
        if isinstance(theirs.get(name), WHOLE) and type(own.get(name)) is type(theirs[name])
    )


def left_networks(suite: Suite, task: str, entry: str) -> list[str]:
    """What other rows of the task take over from the entry."""
    after = [name for name, row in suite.entries_of(task).items() if row.init == entry]
    return sorted({network for name in after for network in taken_networks(suite, task, name)})

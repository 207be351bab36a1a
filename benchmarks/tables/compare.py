"""What changed between two result trees: runs, recipes, versions, scores."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables.runs import Key, Run, read_runs, suite_folders

# Paths and labels in a recipe: they do not change the result.
IGNORED = ("teacher", "pairs", "prompts", "captions", "init", "extractors", "label")


@dataclass(frozen=True)
class Change:
    """One change of one row of a suite, as a sentence."""

    where: str  # suite/task/entry
    what: str


def compare(before: Path, after: Path) -> list[Change]:
    """Every change from one result tree to the other, by suite, task and entry; empty if they agree."""
    first, second = (
        {(path.resolve() if path == tree else path).name: path for path in suite_folders(tree)}
        for tree in (before, after)
    )
    if len(first) == len(second) == 1:  # two folders of one suite may have any names
        name = next(iter(second))
        first = {name: next(iter(first.values()))}
    changes = []
    for suite in dict.fromkeys([*first, *second]):
        if suite not in second or suite not in first:
            changes.append(Change(suite, f"only in {before if suite in first else after}"))
            continue
        changes += _suite_changes(suite, read_runs(first[suite]), read_runs(second[suite]), before, after)
    return changes


def _suite_changes(
    suite: str, first: Mapping[Key, Run], second: Mapping[Key, Run], before: Path, after: Path
) -> Iterator[Change]:
    for task, entry in dict.fromkeys(key[:2] for key in [*first, *second]):
        where = f"{suite}/{task}/{entry}"
        a = {key[2]: run for key, run in first.items() if key[:2] == (task, entry)}
        b = {key[2]: run for key, run in second.items() if key[:2] == (task, entry)}
        for folder, only in ((before, a.keys() - b.keys()), (after, b.keys() - a.keys())):
            if only:
                yield Change(where, f"seeds {_listed(only)} only in {folder}")
        both = sorted(a.keys() & b.keys())
        for sentence in dict.fromkeys(sentence for seed in both for sentence in _reasons(a[seed], b[seed])):
            yield Change(where, sentence)
        for sentence in _scores([a[seed] for seed in both], [b[seed] for seed in both]):
            yield Change(where, sentence)


def _reasons(a: Run, b: Run) -> Iterator[str]:
    """Why the results of one seed may differ: a fault, other versions, recipes, weights, packages, devices, threads."""
    if a.fault != b.fault:
        yield f"seed {a.seed}: {a.fault or 'readable'} -> {b.fault or 'readable'}"
    if a.fault or b.fault:
        return
    if a.digest == b.digest:
        if a.scores.get("metrics") != b.scores.get("metrics"):
            yield "same digest, other scores: the recipe does not decide the result"
            for name in ("weights", "packages", "device", "threads"):
                yield from _keys(f"{name} ", a.record.get(name), b.record.get(name))
        return
    causes = list(_keys("version of ", a.record.get("versions"), b.record.get("versions")))
    causes += _keys("", _decisive(a.record.get("recipe")), _decisive(b.record.get("recipe")))
    yield from causes or ["other digest: an input was made by another recipe"]
    yield from _keys("weights ", a.record.get("weights"), b.record.get("weights"))


def _decisive(recipe: Any) -> Any:
    """A recipe without the keys that do not change the result."""
    if not isinstance(recipe, Mapping):
        return recipe
    return {key: value for key, value in recipe.items() if key not in IGNORED}


def _keys(prefix: str, a: Any, b: Any) -> Iterator[str]:
    """One sentence for each key in which two nested sections differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            inner = f"{prefix}{key}" if not prefix or prefix.endswith(" ") else f"{prefix}.{key}"
            yield from _keys(inner, a.get(key, "absent"), b.get(key, "absent"))
    elif a != b:
        yield f"{prefix.strip() or 'recipe'}: {_shown(a)} -> {_shown(b)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)


def _scores(a: list[Run], b: list[Run]) -> Iterator[str]:
    """The change of each metric's mean over the common seeds, if any seed's value changed."""
    whole = [(x, y) for x, y in zip(a, b, strict=True) if not x.fault and not y.fault]
    names = dict.fromkeys(name for pair in whole for run in pair for name in run.scores.get("metrics", {}))
    for name in names:
        values = [(x.value(name), y.value(name)) for x, y in whole]
        known = [(x, y) for x, y in values if x is not None and y is not None]
        if len(known) < len(values):
            yield f"{name}: {_count(v[0] for v in values)} -> {_count(v[1] for v in values)} seeds have a value"
        if any(x != y for x, y in known):
            before, after = (statistics.fmean(side) for side in zip(*known, strict=True))
            share = f" ({100 * (after - before) / abs(before):+.2g} %)" if before else ""
            yield f"{name}: {before:.6g} -> {after:.6g}{share}"


def _count(values: Iterable[float | None]) -> int:
    return sum(value is not None for value in values)


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(str(seed) for seed in sorted(seeds))

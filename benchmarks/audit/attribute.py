"""Attributes a deviation to its causes: one factor changed at a time in our own pipeline, then all together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import inf

from benchmarks.audit.bench import Bench
from benchmarks.audit.peer_recipe import ALTERNATIVES, PIXEL_FACTORS, PeerRecipe

TOLERANCE = 1e-4  # of the value: the agreement of float32 networks and of square roots of singular products
NEGLIGIBLE = 1e-7  # of the value: smaller contributions are not reported
NAMED_WITHIN = 2e-6  # of the value: how exactly our pipeline repeats a value; a cause must meet it to be named
CROWD, NEIGHBOURS = 50, 2  # a pair is not named where more others lie within so many times that: one hits by chance
FILES = "files read"


@dataclass
class AuditRow:
    """One implementation's value and the causes of its deviation."""

    implementation: str
    value: float | None
    deviation: float | None = None  # from the baseline
    causes: dict[str, float] = field(default_factory=dict)  # factor -> deviation by this change alone
    together: float | None = None  # deviation by all changes jointly beyond their sum
    residue: float | None = None  # deviation that remains with all changes
    verdict: str = "ok"  # "ok" | "explained" | "unexplained" | "unavailable"
    note: str = ""
    label: str = ""  # the data and weights, as "random weights, seed 0"; shown on every line


def attribute(
    name: str,
    value: float,
    recipe: PeerRecipe,
    bench: Bench,
    baseline: PeerRecipe,
    label: str,
    seen: Bench | None = None,
) -> AuditRow:
    """The deviation of an implementation whose recipe is known, attributed to its factors.

    Args:
        name: the implementation.
        value: its value on the bench's images.
        recipe: the recipe that its documentation or code states.
        bench: our pipeline on the same images.
        baseline: the recipe that deviations are measured from.
        label: the data and weights, for the row.
        seen: our pipeline on the images that the implementation itself read, where they are others.
    """
    start, own = bench.value(baseline), seen or bench
    causes = {FILES: own.value(baseline) - start} if seen else {}
    stated, alone = compared(recipe, bench, baseline)
    causes |= {cause: bench.value(changed) - start for cause, changed in alone.items()}
    predicted = own.value(stated)
    residue = value - predicted
    row = AuditRow(name, value, value - start, causes, predicted - start - sum(causes.values()), residue, label=label)
    if abs(residue) > TOLERANCE * scale(value, start):
        row.verdict, row.note = "unexplained", explanation(value, stated, own)
    elif abs(value - start) > TOLERANCE * scale(value, start):
        row.verdict = "explained"
    row.causes = {cause: part for cause, part in causes.items() if abs(part) > NEGLIGIBLE * scale(value, start)}
    return row


def compared(recipe: PeerRecipe, bench: Bench, baseline: PeerRecipe) -> tuple[PeerRecipe, dict[str, PeerRecipe]]:
    """The recipe as far as the bench can follow it, and by cause the baseline with one of its factors."""
    stated, alone = baseline, {}
    for factor in baseline.differences(recipe):
        if factor in bench.factors:
            value = getattr(recipe, factor)
            stated, alone[f"{factor}: {value}"] = stated.changed(factor, value), baseline.changed(factor, value)
    return stated, alone


def explanation(value: float, recipe: PeerRecipe, bench: Bench, within: float = 0.0, all_pairs: bool = False) -> str:
    """The one change, or else the one pair of changes, that gives the value; or that none does.

    Args:
        value: what is to be explained.
        recipe: what is changed.
        bench: our pipeline.
        within: how exactly the value is known; more exact than our pipeline repeats itself, nothing can be matched.
        all_pairs: also pairs of two changes of the pixels, each of which is another pass of the images.
    """
    start = bench.value(recipe)
    within = max(within, NAMED_WITHIN * scale(value, start))
    if abs(value - start) <= within:
        return "it is the value of the recipe itself"
    for changes, neighbours in ((singles(bench, recipe), inf), (_pairs(bench, recipe, within, all_pairs), NEIGHBOURS)):
        apart = {cause: abs(outcome - value) for cause, outcome in _outcomes(bench, changes)}
        fitting = [cause for cause in apart if apart[cause] <= within]
        near = sum(distance <= CROWD * within for distance in apart.values())
        if len(fitting) == 1 and near <= 1 + neighbours:
            return f"it behaves as if {fitting[0]} (deviation {value - start:+.4g}, met within {within:.1g})"
        if fitting:
            listed = " or ".join(fitting[:4])
            return f"not explained: {listed} would give it, among {near} changes that lie near: not told apart"
    return f"not explained: no change or pair of changes gives the deviation {value - start:+.4g} within {within:.1g}"


def sensitivity(bench: Bench, baseline: PeerRecipe, label: str, extracting: bool = True) -> list[AuditRow]:
    """Every other value of every factor, changed alone; values that need more images are reported as unavailable.

    Args:
        bench: our pipeline.
        baseline: the recipe that is changed.
        label: of the rows.
        extracting: also changes for which the images must pass the network again.
    """
    start = bench.value(baseline)
    rows = []
    for cause, changed in singles(bench, baseline):
        if not extracting and bench.passes(changed):
            continue
        value = bench.outcome(changed)
        if isinstance(value, str):
            rows.append(AuditRow(cause, None, verdict="unavailable", note=value, label=label))
        else:
            rows.append(AuditRow(cause, value, value - start, verdict="", label=label))
    return rows


def _outcomes(bench: Bench, changes: Iterable[tuple[str, PeerRecipe]]) -> Iterator[tuple[str, float]]:
    """The values of the changes that these images allow."""
    for cause, changed in changes:
        outcome = bench.outcome(changed)
        if not isinstance(outcome, str):
            yield cause, outcome


def _changes(bench: Bench, recipe: PeerRecipe) -> list[tuple[str, object]]:
    """(factor, value) for every other value of every factor."""
    return [
        (factor, value)
        for factor in bench.factors
        for value in ALTERNATIVES[factor]
        if value != getattr(recipe, factor) and bench.applies(factor, value)
    ]


def singles(bench: Bench, recipe: PeerRecipe) -> list[tuple[str, PeerRecipe]]:
    """The recipe with one factor changed, for every other value of every factor."""
    return [(f"{factor}: {value}", recipe.changed(factor, value)) for factor, value in _changes(bench, recipe)]


def _pairs(bench: Bench, recipe: PeerRecipe, within: float, all_pairs: bool) -> Iterator[tuple[str, PeerRecipe]]:
    """The recipe with two factors changed, both of which matter: the order does where not all files are read."""
    start = bench.value(recipe)
    effects = {
        change: bench.outcome(changed)
        for change, (_, changed) in zip(_changes(bench, recipe), singles(bench, recipe), strict=True)
    }
    for (first, value), (second, other) in combinations(effects, 2):
        if first == second or (not all_pairs and _extracts(first) and _extracts(second)):
            continue
        effect, further = effects[first, value], effects[second, other]
        ordered = (first, second) == ("samples", "order")
        if isinstance(effect, str) or isinstance(further, str):
            continue
        if abs(effect - start) <= within or (abs(further - start) <= within and not ordered):
            continue
        yield f"{first}: {value} and {second}: {other}", recipe.changed(first, value).changed(second, other)


def _extracts(factor: str) -> bool:
    """Whether a change of the factor, after that of another such one, is another pass of the images."""
    return factor in PIXEL_FACTORS or factor == "reference"


def scale(*values: float) -> float:
    """The magnitude that a deviation is compared with."""
    return max(1e-12, *(abs(value) for value in values))

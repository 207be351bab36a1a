"""Attributes a deviation to its causes: one factor changed at a time in our own pipeline, then all together."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.audit.peer_recipe import ALTERNATIVES, Bench, PeerRecipe

TOLERANCE = 1e-4  # of the value: the agreement of float32 networks and of square roots of singular products
NEGLIGIBLE = 1e-7  # of the value: smaller contributions are not reported


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


def attribute(name: str, value: float, recipe: PeerRecipe, bench: Bench, baseline: PeerRecipe, label: str) -> AuditRow:
    """The deviation of an implementation whose recipe is known, attributed to its factors.

    Args:
        name: the implementation.
        value: its value on the bench's images.
        recipe: the recipe that its documentation or code states.
        bench: our pipeline on the same images.
        baseline: the recipe that deviations are measured from.
        label: the data and weights, for the row.
    """
    start = bench.value(baseline)
    causes = {}
    for factor in baseline.differences(recipe):
        if factor in bench.factors:
            alone = bench.value(baseline.changed(factor, getattr(recipe, factor))) - start
            causes[f"{factor}: {getattr(recipe, factor)}"] = alone
    stated = baseline
    for factor in bench.factors:
        stated = stated.changed(factor, getattr(recipe, factor))
    predicted = bench.value(stated)
    residue = value - predicted
    row = AuditRow(name, value, value - start, causes, predicted - start - sum(causes.values()), residue, label=label)
    if abs(residue) > TOLERANCE * scale(value, start):
        row.verdict, row.note = "unexplained", closest(residue, stated, bench)
    elif abs(value - start) > TOLERANCE * scale(value, start):
        row.verdict = "explained"
    row.causes = {cause: part for cause, part in causes.items() if abs(part) > NEGLIGIBLE * scale(value, start)}
    return row


def closest(residue: float, recipe: PeerRecipe, bench: Bench) -> str:
    """The single further change that comes closest to an unexplained residue: a hint, not a proof."""
    start = bench.value(recipe)
    changes = {cause: bench.outcome(changed) for cause, changed in _changes(bench, recipe)}
    tried = {cause: value - start for cause, value in changes.items() if not isinstance(value, str)}
    best = min(tried, key=lambda cause: abs(tried[cause] - residue))
    if abs(tried[best] - residue) < 0.1 * abs(residue):
        return f"it behaves as if {best} ({tried[best]:+.4g} of the residue {residue:+.4g})"
    return f"no single further change explains the residue {residue:+.4g}"


def sensitivity(bench: Bench, baseline: PeerRecipe, label: str) -> list[AuditRow]:
    """Every other value of every factor, changed alone; values that need more images are reported as unavailable."""
    start = bench.value(baseline)
    rows = []
    for cause, changed in _changes(bench, baseline):
        value = bench.outcome(changed)
        if isinstance(value, str):
            rows.append(AuditRow(cause, None, verdict="unavailable", note=value, label=label))
        else:
            rows.append(AuditRow(cause, value, value - start, verdict="", label=label))
    return rows


def _changes(bench: Bench, recipe: PeerRecipe) -> list[tuple[str, PeerRecipe]]:
    """The recipe with one factor changed, for every other value of every factor."""
    return [
        (f"{factor}: {value}", recipe.changed(factor, value))
        for factor in bench.factors
        for value in ALTERNATIVES[factor]
        if value != getattr(recipe, factor)
    ]


def scale(*values: float) -> float:
    """The magnitude that a deviation is compared with."""
    return max(1e-12, *(abs(value) for value in values))

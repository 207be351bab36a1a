"""Why a value deviates: one factor changed at a time in this project's own pipeline, then all together."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.audit.peer_recipe import ALTERNATIVES, Bench, PeerRecipe

TOLERANCE = 1e-4  # of the value: float32 networks and square roots of singular products agree so far
NEGLIGIBLE = 1e-7  # of the value: contributions below are not told


@dataclass
class AuditRow:
    """One implementation's value and what explains it."""

    implementation: str
    value: float | None
    deviation: float | None = None  # from the baseline
    causes: dict[str, float] = field(default_factory=dict)  # factor -> what this change alone does
    together: float | None = None  # what the changes do jointly beyond their sum
    residue: float | None = None  # what the pipeline with all changes does not explain
    verdict: str = "ok"  # "ok" | "explained" | "unexplained" | "unavailable"
    note: str = ""
    label: str = ""  # "synthetic features", "random weights, seed 0": said on every line


def attribute(name: str, value: float, recipe: PeerRecipe, bench: Bench, baseline: PeerRecipe, label: str) -> AuditRow:
    """The deviation of a peer whose recipe is known, taken apart."""
    start = bench.value(baseline)
    causes = {}
    for factor in baseline.differences(recipe):
        if factor in bench.factors:
            alone = bench.value(baseline.changed(factor, getattr(recipe, factor))) - start
            causes[f"{factor}: {getattr(recipe, factor)}"] = alone
    known = baseline
    for factor in bench.factors:
        known = known.changed(factor, getattr(recipe, factor))
    predicted = bench.value(known)
    residue = value - predicted
    row = AuditRow(name, value, value - start, causes, predicted - start - sum(causes.values()), residue, label=label)
    if abs(residue) > TOLERANCE * scale(value, start):
        row.verdict, row.note = "unexplained", closest(residue, known, bench)
    elif abs(value - start) > TOLERANCE * scale(value, start):
        row.verdict = "explained"
    row.causes = {cause: part for cause, part in causes.items() if abs(part) > NEGLIGIBLE * scale(value, start)}
    return row


def closest(residue: float, recipe: PeerRecipe, bench: Bench) -> str:
    """The one further change that comes nearest to an unexplained residue: a hint, not a proof."""
    start = bench.value(recipe)
    changes = {cause: bench.outcome(changed) for cause, changed in _changes(bench, recipe)}
    tried = {cause: found - start for cause, found in changes.items() if not isinstance(found, str)}
    best = min(tried, key=lambda cause: abs(tried[cause] - residue))
    if abs(tried[best] - residue) < 0.1 * abs(residue):
        return f"it behaves as if {best} ({tried[best]:+.4g} of the residue {residue:+.4g})"
    return f"no single further change explains the residue {residue:+.4g}"


def sensitivity(bench: Bench, baseline: PeerRecipe, label: str) -> list[AuditRow]:
    """Every factor's every other value, alone; a few images do not allow all of them."""
    start = bench.value(baseline)
    rows = []
    for cause, changed in _changes(bench, baseline):
        found = bench.outcome(changed)
        if isinstance(found, str):
            rows.append(AuditRow(cause, None, verdict="unavailable", note=found, label=label))
        else:
            rows.append(AuditRow(cause, found, found - start, verdict="", label=label))
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
    """What a deviation is compared with."""
    return max(1e-12, *(abs(value) for value in values))

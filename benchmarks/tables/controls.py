"""What a control must show. A control is no method: it passes or fails by its own rule, and gets no verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping

from benchmarks.tables.layout import Line, TableColumn
from benchmarks.tables.verdict import FAILED, NO_TARGET, PASSED, Judgement, Target, allowance, seeds_named

RULE = (
    "Controls are checks and get no verdict. The teacher, sampled with all its steps, must be better than its own "
    "network used in one step without training, on every seed; that untrained network must be worse than the best "
    "method, on every seed; a method whose critic is never trained must equal the untrained network; one whose critic "
    "is stopped early must be worse than the same method with a live critic, on every seed; held-out images must give "
    "the reference's value within the protocol's tolerance. A control with a printed value is compared with it like a "
    "method."
)
EQUAL = 1e-6  # of the value: rounding of another machine's order of sums, far below any training

Values = Mapping[int, float]  # by seed


def check(
    line: Line, column: TableColumn, cells: Mapping[str, Values], lines: Mapping[str, Line], target: Target | None
) -> Judgement:
    """A control's check against the other rows of its table.

    Args:
        line: the control.
        column: the metric, with its direction and tolerance.
        cells: entry -> seed -> value, of every row that may be compared.
        lines: the task's rows by entry.
        target: the reference's value, if any.
    """
    values = cells[line.entry]
    if line.kind == "heldout":
        return _agrees(values, column, target)
    untrained = next((name for name, its in lines.items() if its.kind == "untrained" and name in cells), None)
    if line.kind == "ablation" and line.critic_never:
        return _equal(values, cells.get(untrained or "", {}), "the untrained network")
    if line.kind == "ablation":
        return _better(cells.get(line.counterpart, {}), values, column.higher, f"worse than {line.counterpart}")
    if line.kind == "teacher":
        return _better(values, cells.get(untrained or "", {}), column.higher, "better than the untrained network")
    methods = {name: its for name, its in cells.items() if lines[name].kind == "method"}
    if not methods:
        return Judgement(NO_TARGET)
    best = (max if column.higher else min)(methods, key=lambda name: _mean(methods[name], column.higher))
    return _better(methods[best], values, column.higher, f"worse than the best method, {lines[best].label}")


def _mean(values: Values, higher: bool) -> float:
    """For the choice of the best; a value that is no number is the worst."""
    return sum(_ordered(value, higher) for value in values.values()) / len(values)


def _ordered(value: float, higher: bool) -> float:
    return value if math.isfinite(value) else (-math.inf if higher else math.inf)


def _better(first: Values, second: Values, higher: bool, what: str) -> Judgement:
    """Whether the first row is better than the second on every seed that both have."""
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return Judgement(NO_TARGET)
    pairs = {seed: (_ordered(first[seed], higher), _ordered(second[seed], higher)) for seed in seeds}
    failing = [seed for seed, (a, b) in pairs.items() if not (a > b if higher else a < b)]
    if failing:
        return Judgement(FAILED, f"not {what} on {seeds_named(failing)}")
    return Judgement(PASSED, f"{what} on every seed")


def _equal(first: Values, second: Values, what: str) -> Judgement:
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return Judgement(NO_TARGET)
    failing = [seed for seed in seeds if not math.isclose(first[seed], second[seed], rel_tol=EQUAL, abs_tol=EQUAL)]
    if failing:
        return Judgement(FAILED, f"differs from {what} on {seeds_named(failing)}")
    return Judgement(PASSED, f"equals {what}")


def _agrees(values: Values, column: TableColumn, target: Target | None) -> Judgement:
    """No training is behind it, so that one value is all there is."""
    if target is None:
        return Judgement(NO_TARGET)
    allowed = allowance(target, (), column.tolerance)
    failing = [seed for seed, value in values.items() if not abs(value - target.value) <= allowed]
    if failing:
        return Judgement(FAILED, f"differs from the reference by more than {allowed:.3g}")
    return Judgement(PASSED, "agrees with the reference")

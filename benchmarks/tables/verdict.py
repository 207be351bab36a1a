"""The verdict of a cell. One rule for all tables; every page states it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

REPRODUCED, CLOSE, OFF, ONE_SEED = "reproduced", "close", "off", "one seed"
PASSED, FAILED = "passed", "failed"  # of controls
NOT_RUN, INCOMPLETE, OUTDATED, UNAVAILABLE = "not run", "incomplete", "outdated", "unavailable"
UNREADABLE, NO_TARGET, RANDOM = "unreadable", "not compared", "random weights"
WORDS = (
    REPRODUCED,
    CLOSE,
    OFF,
    ONE_SEED,
    PASSED,
    FAILED,
    INCOMPLETE,
    OUTDATED,
    UNREADABLE,
    UNAVAILABLE,
    NOT_RUN,
    RANDOM,
    NO_TARGET,
)

CLOSE_FACTOR = 3.0
SEED_DEVIATIONS = 2.0
ROUNDING = 1e-9  # of the compared values: 2.415 - 2.41 is not exactly 0.005 in floating point

RULE = (
    "A cell is reproduced when its mean over the seeds deviates from the value it is compared with by at most the "
    "largest of three allowances: half a unit of that value's last printed digit, twice the sample standard "
    "deviation over the seeds (or over the protocol's trials, where they are further apart), and the tolerance that "
    "the protocol states. It is close at up to three times that allowance, and off beyond. The value is the published "
    "one where there is one, else the project's own reference run; one seed beside that reference shows its deviation "
    "and gets no verdict, since its spread is unknown; a published number that is not in the authors' own words can "
    "make a cell close, never reproduced. A cell that lacks one of its seeds, or was made by another recipe than the "
    "suite now states, shows its number and gets no verdict."
)


@dataclass(frozen=True)
class Target:
    """The value that a cell is compared with."""

    value: float
    decimals: int  # as printed
    authors: bool = True  # stated by the authors themselves, or the project's own reference
    own: bool = False  # the project's own reference, a mean over seeds

    @property
    def text(self) -> str:
        return fixed(self.value, self.decimals)


@dataclass(frozen=True)
class Judgement:
    """The verdict with its reason, or the deviation and the allowed one."""

    word: str
    why: str = ""
    deviation: float | None = None
    allowed: float | None = None

    @property
    def text(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """The value with fixed decimals and no negative zero."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:+.{decimals}f}" if signed and rounded else f"{rounded:.{decimals}f}"


def spread(values: Collection[float]) -> float | None:
    """The sample standard deviation over the seeds; None for a single seed."""
    return statistics.stdev(values) if len(values) > 1 else None


def allowance(target: Target, values: Collection[float], tolerance: float, trials: float = 0.0) -> float:
    """The largest deviation that still counts as reproduced.

    Args:
        target: the compared value.
        values: one value per seed.
        tolerance: the protocol's, as a share of the target's value.
        trials: the standard deviation over a run's trials, which is the effect of drawing other images.
    """
    return max(
        0.5 * 10.0**-target.decimals,
        SEED_DEVIATIONS * max(spread(values) or 0.0, trials),
        tolerance * abs(target.value),
    )


def judge(values: Mapping[int, float], target: Target | None, tolerance: float, trials: float = 0.0) -> Judgement:
    """The rule, for a cell that has a value for each of its seeds. Arguments as in `allowance`."""
    broken = [seed for seed, value in values.items() if not math.isfinite(value)]
    if broken:
        return Judgement(OFF, f"{seeds_named(broken)} gave no finite value")
    if target is None:
        return Judgement(NO_TARGET)
    deviation = statistics.fmean(values.values()) - target.value
    if target.own and len(values) == 1:
        return Judgement(ONE_SEED, "no verdict", deviation)
    allowed = allowance(target, values.values(), tolerance, trials)
    slack = ROUNDING * max(1.0, abs(target.value))
    if abs(deviation) <= allowed + slack:
        if target.authors:
            return Judgement(REPRODUCED, "", deviation, allowed)
        return Judgement(CLOSE, "agrees with a number that is not in the authors' own words", deviation, allowed)
    word = CLOSE if abs(deviation) <= CLOSE_FACTOR * allowed + slack else OFF
    return Judgement(word, "", deviation, allowed)


def seeds_named(seeds: Collection[int]) -> str:
    """For a sentence: "seed 1", "seeds 1, 2"."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(str(seed) for seed in sorted(seeds))}"

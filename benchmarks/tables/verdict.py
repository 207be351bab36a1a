"""The verdict of one cell: one rule for every table, stated on every page."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

REPRODUCED, CLOSE, OFF = "reproduced", "close", "off"
NOT_RUN, INCOMPLETE, OUTDATED, UNAVAILABLE = "not run", "incomplete", "outdated", "unavailable"
UNREADABLE, NO_TARGET, RANDOM = "unreadable", "not compared", "random weights"
WORDS = (REPRODUCED, CLOSE, OFF, INCOMPLETE, OUTDATED, UNREADABLE, UNAVAILABLE, NOT_RUN, RANDOM, NO_TARGET)

CLOSE_FACTOR = 3.0
SEED_DEVIATIONS = 2.0
ROUNDING = 1e-9  # of the compared values: 2.415 - 2.41 is not exactly 0.005 in floating point

RULE = (
    "A cell is reproduced when its mean over the seeds deviates from the value it is compared with by at most the "
    "largest of three allowances: half a unit of that value's last printed digit, twice the sample standard "
    "deviation over the seeds (or over the protocol's trials, where they are further apart; one seed takes the "
    "reference's deviation over its own), and the tolerance that the protocol states. It is close at up to three "
    "times that allowance, and off beyond. The value is the published one where there is one, else the project's "
    "own reference run; a published number that is not in the authors' own words can make a cell close, never "
    "reproduced. A cell that lacks one of its seeds, or was made by another recipe than the suite now states, shows "
    "its number and gets no verdict."
)


@dataclass(frozen=True)
class Target:
    """What a cell is compared with."""

    value: float
    decimals: int  # as printed
    authors: bool = True  # in the authors' own words, or the project's own reference
    spread: float = 0.0  # over the reference's own seeds

    @property
    def text(self) -> str:
        return fixed(self.value, self.decimals)


@dataclass(frozen=True)
class Judgement:
    """The verdict with what it rests on."""

    word: str
    why: str = ""
    deviation: float | None = None
    allowed: float | None = None

    @property
    def text(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """Fixed digits after the point, and no negative zero."""
    rounded = round(value, decimals) + 0.0
    return f"{rounded:+.{decimals}f}" if signed and rounded else f"{rounded:.{decimals}f}"


def spread(values: Collection[float]) -> float | None:
    """The sample standard deviation over the seeds; one seed has none."""
    return statistics.stdev(values) if len(values) > 1 else None


def allowance(target: Target, values: Collection[float], tolerance: float, trials: float = 0.0) -> float:
    """The largest deviation that still counts as reproduced. `tolerance` is a share of the target's value.

    `trials` is the deviation over one seed's trials: what drawing the images anew does, and all that one seed can tell.
    One seed has no deviation over seeds: the reference's stands for it.
    """
    over_seeds = spread(values)
    return max(
        0.5 * 10.0**-target.decimals,
        SEED_DEVIATIONS * max(target.spread if over_seeds is None else over_seeds, trials),
        tolerance * abs(target.value),
    )


def judge(values: Mapping[int, float], target: Target | None, tolerance: float, trials: float = 0.0) -> Judgement:
    """The rule, for a cell whose seeds are all there."""
    broken = [seed for seed, value in values.items() if not math.isfinite(value)]
    if broken:
        return Judgement(OFF, f"{seeds_named(broken)} gave no finite value")
    if target is None:
        return Judgement(NO_TARGET)
    deviation = statistics.fmean(values.values()) - target.value
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

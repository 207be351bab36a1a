"""What paired differences over a few seeds can say: an interval, a sign test, and how many seeds would decide.

The rule and its error rates stand in docs/claims.md. Imports no torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SUPPORTED, OPPOSED, UNDECIDED = "supported", "opposed", "undecided"
LEVEL = 0.05  # two-sided: a difference that is none is called so, in one direction or the other, at most this often
POWER = 0.8  # at which a number of seeds counts as deciding
FEWEST = 3  # seeds: two differences tell nothing of their spread
MOST = 1000  # seeds that are looked at
RESAMPLES = 2000

RULE = (
    "A claim becomes one difference for each seed, positive where the claim is right. It is supported if both 95 % "
    "intervals of the mean difference, Student's and the bootstrap's, lie above zero, opposed if both lie below, and "
    "undecided otherwise, and always with fewer than three seeds. Student's interval assumes normal differences, "
    "which three seeds cannot show: the sign test, which assumes nothing, stands beside it with the smallest p that so "
    "many seeds can reach. A claim of several steps is supported if each is, and opposed if any is, at "
    "its share of the level."
)


@dataclass(frozen=True)
class Evidence:
    """Paired differences, positive where they speak for the claim, and what follows from them."""

    differences: tuple[float, ...]  # one a seed; infinite where a run gave no finite value
    steps: int = 1  # of the claim: opposing one of them takes its share of the level

    @property
    def mean(self) -> float:
        return statistics.fmean(self.differences)

    @property
    def finite(self) -> bool:
        return all(math.isfinite(difference) for difference in self.differences)

    @property
    def positive(self) -> int:
        """The seeds that speak for the claim."""
        return sum(difference > 0 for difference in self.differences)

    @property
    def unequal(self) -> int:
        """The seeds that differ at all."""
        return sum(difference != 0 for difference in self.differences)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean; None if there is none."""
        return self._student(LEVEL)

    @property
    def p(self) -> float:
        """The sign test's two-sided p; seeds without a difference are left out."""
        from scipy import stats

        return float(stats.binomtest(self.positive, self.unequal).pvalue) if self.unequal else 1.0

    @property
    def smallest_p(self) -> float:
        """What the sign test would give if all seeds agreed."""
        return min(1.0, 2 * 0.5 ** len(self.differences))

    @property
    def word(self) -> str:
        """Supported, opposed or undecided, by the rule."""
        if len(self.differences) < FEWEST:
            return UNDECIDED
        if not self.finite:  # no mean and no interval: the signs alone
            if self.p > LEVEL:
                return UNDECIDED
            return SUPPORTED if 2 * self.positive > self.unequal else OPPOSED
        if self._above(LEVEL):
            return SUPPORTED
        mirrored = Evidence(tuple(-difference for difference in self.differences))
        return OPPOSED if mirrored._above(LEVEL / self.steps) else UNDECIDED

    def _above(self, level: float) -> bool:
        """Whether both intervals lie above zero."""
        student = self._student(level)
        return student is not None and student[0] > 0 and self._bootstrap(level)[0] > 0

    def _student(self, level: float) -> tuple[float, float] | None:
        from scipy import stats

        count = len(self.differences)
        if count < 2 or not self.finite:
            return None
        half = float(stats.t.ppf(1 - level / 2, count - 1)) * statistics.stdev(self.differences) / math.sqrt(count)
        return self.mean - half, self.mean + half

    def _bootstrap(self, level: float) -> tuple[float, float]:
        """The percentile interval of the mean over resampled seeds, with fixed draws."""
        import numpy as np
        from scipy import stats

        drawn = stats.bootstrap(
            (np.asarray(self.differences),),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=1 - level,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)

    @property
    def needed(self) -> tuple[int | None, int | None]:
        """Seeds with which Student's interval, and the sign test, would decide at power 0.8 if these were the truth.

        None: more than a thousand. Of few seeds it is a rough figure, as their spread is.
        """
        if len(self.differences) < 2 or not self.finite or not self.mean:
            return None, None
        spread = statistics.stdev(self.differences)
        effect = abs(self.mean) / spread if spread else math.inf
        return _first(_student_power(effect)), _first(_sign_power(effect))


def _first(powers: Sequence[float]) -> int | None:
    """The first number of seeds, from `FEWEST` on, whose power is enough."""
    return next((FEWEST + place for place, power in enumerate(powers) if power >= POWER), None)


def _student_power(effect: float) -> Sequence[float]:
    """Of the two-sided t test, by the number of seeds; the effect in standard deviations."""
    import numpy as np
    from scipy import stats

    counts = np.arange(FEWEST, MOST + 1)
    if effect > 10:  # decided by the fewest seeds
        return [1.0]
    return list(stats.nct.sf(stats.t.ppf(1 - LEVEL / 2, counts - 1), counts - 1, effect * np.sqrt(counts)))


def _sign_power(effect: float) -> Sequence[float]:
    """Of the two-sided sign test, by the number of seeds, for normal differences."""
    import numpy as np
    from scipy import stats

    counts = np.arange(FEWEST, MOST + 1)
    losses = stats.binom.ppf(LEVEL / 2, counts, 0.5)  # the most that the test allows is this or one less
    losses = np.where(stats.binom.cdf(losses, counts, 0.5) <= LEVEL / 2, losses, losses - 1)
    return list(stats.binom.cdf(losses, counts, stats.norm.sf(effect)))

"""What a suite's finished runs answer to the papers' claims. Imports no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from benchmarks.tables.claims import Claim, Contrast, Paper, Trial
from benchmarks.tables.curve_values import at_images, slope, straightness
from benchmarks.tables.evidence import FEWEST, OPPOSED, SUPPORTED, UNDECIDED, Evidence
from benchmarks.tables.published import Cell
from benchmarks.tables.rows import Row
from benchmarks.tables.runs import Run
from benchmarks.tables.verdict import INCOMPLETE, NOT_RUN, OUTDATED, RANDOM, UNAVAILABLE, UNREADABLE

NOT_TRIED = "not tried"
WORDS = (SUPPORTED, OPPOSED, UNDECIDED, NOT_TRIED)
UNUSABLE = (NOT_RUN, INCOMPLETE, OUTDATED, UNAVAILABLE, UNREADABLE, RANDOM)  # a cell that may decide nothing
STRAIGHT = 0.9  # the share of the variance that a straight line must explain: this project's choice


@dataclass(frozen=True)
class Link:
    """One step of a claim: a change that it predicts, with the evidence of the seeds."""

    text: str
    evidence: Evidence | None = None
    why: str = ""  # there is no evidence
    sign: int = 1  # of the predicted change
    offset: float = 0.0  # by which the differences are shifted: the tolerance of `keeps` and `equals`
    ratio: bool = False  # the change is a logarithm of a ratio
    seeds: tuple[int, ...] = ()

    @property
    def change(self) -> str:
        """The mean change with its interval, as a reader expects it: in percent for a distance."""
        if self.evidence is None:
            return ""
        if not self.evidence.finite:
            return "not finite"
        mean, interval = self._plain(self.evidence.mean), self.evidence.interval
        if interval is None:
            return mean
        low, high = interval[:: self.sign]
        return f"{mean} [{self._plain(low)}, {self._plain(high)}]"

    def _plain(self, difference: float) -> str:
        change = self.sign * (difference - self.offset)
        if not self.ratio:
            return f"{change:+.3g}"
        if change > math.log(10):  # a factor reads better than thousands of percent
            return f"x{math.exp(min(change, 500)):.3g}"
        return f"{100 * math.expm1(change):+.3g} %"


@dataclass(frozen=True)
class Answer:
    """One claim on one task of a suite, or over the mean of several tasks."""

    paper: Paper
    claim: Claim
    task: str
    trial: Trial
    links: tuple[Link, ...]
    joined: bool = False  # over several tasks, whose own answers stand above

    @property
    def why(self) -> str:
        """Why it was not tried; empty if it was."""
        return "; ".join(dict.fromkeys(link.why for link in self.links if link.why))

    @cached_property
    def word(self) -> str:
        """The answer: each link must be supported, and one opposed link opposes the claim."""
        if self.why:
            return NOT_TRIED
        words = {link.evidence.word for link in self.links if link.evidence}
        if OPPOSED in words:
            return OPPOSED
        return SUPPORTED if words == {SUPPORTED} else UNDECIDED

    @property
    def remark(self) -> str:
        """What a reader must know beside the word: few seeds, or why it was not tried."""
        if self.why:
            return self.why
        count = min(len(link.seeds) for link in self.links)
        if count < FEWEST:
            return f"{count} seed{'s' * (count > 1)}: no answer before {FEWEST}"
        return self.trial.note


def answers(suite: str, rows: Sequence[Row], papers: Mapping[str, Paper]) -> list[Answer]:
    """Every claim that the suite has a task for, by paper, claim and task; then over the tasks, where several tried it.

    Args:
        suite: its name, which the claims' trials name.
        rows: all cells of the suite.
        papers: the claims.
    """
    cells: dict[Cell, Row] = {(row.task.name, row.line.entry, row.column.name): row for row in rows}
    tasks = list(dict.fromkeys(row.task.name for row in rows))
    listed = []
    for paper in papers.values():
        for claim in paper.claims:
            tried = [
                Answer(paper, claim, task, trial, tuple(_links(trial, task, cells)))
                for task in tasks
                if (trial := claim.trial(suite, task)) is not None
            ]
            listed += tried
            if together := _over_tasks([answer for answer in tried if not answer.why]):
                listed.append(together)
    return listed


def untried(suite: str, rows: Sequence[Row], papers: Mapping[str, Paper]) -> list[tuple[Claim, tuple[str, ...]]]:
    """The claims that no task of the suite can try, with the places where they can be tried."""
    tasks = {row.task.name for row in rows}
    return [
        (claim, tuple(dict.fromkeys(pattern for trial in claim.trials for pattern in trial.tasks)))
        for paper in papers.values()
        for claim in paper.claims
        if not any(claim.trial(suite, task) for task in tasks)
    ]


def _over_tasks(tried: Sequence[Answer]) -> Answer | None:
    """The claim over the mean of several tasks: the seed stays the unit, since tasks share its draws."""
    if len(tried) < 2 or any(answer.trial != tried[0].trial for answer in tried):
        return None
    links = []
    for parallel in zip(*(answer.links for answer in tried), strict=True):
        seeds = tuple(seed for seed in parallel[0].seeds if all(seed in link.seeds for link in parallel))
        by_seed = [dict(zip(link.seeds, link.evidence.differences, strict=True)) for link in parallel if link.evidence]
        if not seeds:
            return None
        means = tuple(statistics.fmean(its[seed] for its in by_seed) for seed in seeds)
        first, evidence = parallel[0], Evidence(means, len(tried[0].links))
        links.append(Link(first.text, evidence, "", first.sign, first.offset, first.ratio, seeds))
    where = f"mean of {', '.join(answer.task for answer in tried)}"
    return Answer(tried[0].paper, tried[0].claim, where, tried[0].trial, tuple(links), joined=True)


@dataclass(frozen=True)
class _Prediction:
    """A change that a contrast predicts: from a row to another, or of one row's curve."""

    text: str
    rows: tuple[str, ...]
    sign: int  # of the change
    offset: float = 0.0
    of_curve: Callable[[Run, str], float | None] | None = None


def _predictions(contrast: Contrast, ratio: bool) -> list[_Prediction]:
    """What must all be seen if the contrast is right. `ratio`: changes are logarithms of ratios of a distance."""
    rows, metric, within = contrast.rows, contrast.metric, contrast.within or 0.0
    if contrast.relation == "log-linear":
        share = f"{metric} of {rows[0]}: a straight line explains more than {STRAIGHT:g} of its logarithm's variance"
        return [
            _Prediction(
                f"{metric} of {rows[0]}: slope of its logarithm against that of the images", rows, -1, 0, slope
            ),
            _Prediction(share, rows, 1, -STRAIGHT, straightness),
        ]
    if contrast.relation in ("keeps", "equals"):
        text = f"{metric} from {rows[0]} to {rows[1]}"
        limit = f"by less than {100 * within:g} %" if ratio else f"by less than {within:g}"
        offset = math.log1p(within) if ratio else within
        lower, higher = (
            _Prediction(f"{text}: lower {limit}", rows, 1, offset),
            _Prediction(f"{text}: higher {limit}", rows, -1, offset),
        )
        if contrast.relation == "equals":
            return [lower, higher]
        return [higher if ratio else lower]  # the direction that is worse
    sign = 1 if contrast.relation == "rises" else -1
    return [_Prediction(f"{metric} {contrast.relation} from {a} to {b}", (a, b), sign) for a, b in pairwise(rows)]


def _links(trial: Trial, task: str, cells: Mapping[Cell, Row]) -> Iterator[Link]:
    """The steps of a trial, each with its evidence; the level is shared among all of them."""
    lower_is_better = {name[2] for name, row in cells.items() if name[0] == task and not row.column.higher}
    steps = [
        (contrast, prediction)
        for contrast in trial.contrasts
        for prediction in _predictions(contrast, contrast.metric in lower_is_better)
    ]
    for contrast, prediction in steps:
        names = [(task, entry, contrast.metric) for entry in prediction.rows]
        why = trial.lacks or "; ".join(filter(None, (_missing(name, cells) for name in names)))
        if why:
            yield Link(prediction.text, why=why)
            continue
        ratio = contrast.metric in lower_is_better and prediction.of_curve is None
        changes = _changes(contrast, prediction, [cells[name] for name in names], ratio)
        lacking = [seed for seed, change in changes.items() if change is None]
        if lacking or not changes:
            reach = f"{' and '.join(prediction.rows)}: no curve to compare them at equal {contrast.at}"
            yield Link(prediction.text, why=reach if lacking else f"{' and '.join(prediction.rows)}: no seed in common")
            continue
        signed = tuple(
            prediction.sign * change + prediction.offset for change in changes.values() if change is not None
        )
        evidence = Evidence(signed, len(steps))
        yield Link(prediction.text, evidence, "", prediction.sign, prediction.offset, ratio, tuple(changes))


def _missing(name: Cell, cells: Mapping[Cell, Row]) -> str:
    """Why a cell can decide nothing; empty if it can."""
    task, entry, metric = name
    if name not in cells:
        known = any(cell[:2] == (task, entry) for cell in cells)
        return f"{entry} has no column {metric}" if known else f"the suite has no row {entry}"
    judgement = cells[name].judgement
    return f"{entry}: {judgement.text}" if judgement.word in UNUSABLE else ""


def _changes(contrast: Contrast, prediction: _Prediction, rows: Sequence[Row], ratio: bool) -> dict[int, float | None]:
    """The change of every seed that all rows have; None where the curves cannot be compared."""
    runs = [{run.seed: run for run in row.runs} for row in rows]
    # A row without any training has a single run, which is the same for every seed of the other.
    seeds = max(runs, key=len)
    runs = [its if len(its) > 1 or len(seeds) == 1 else dict.fromkeys(seeds, *its.values()) for its in runs]
    shared = [seed for seed in seeds if all(seed in its for its in runs)]
    if prediction.of_curve is not None:
        return {seed: prediction.of_curve(runs[0][seed], contrast.metric) for seed in shared}
    return {seed: _change(*_at_equal(runs[0][seed], runs[1][seed], contrast), ratio) for seed in shared}


def _change(before: float | None, after: float | None, ratio: bool) -> float | None:
    """From one value to the other; a value that is no number is the worst there is."""
    if before is None or after is None:
        return None
    worst = math.inf if ratio else -math.inf
    a, b = (value if math.isfinite(value) else worst for value in (before, after))
    if a == b:
        return 0.0
    return math.log(b) - math.log(a) if ratio and a > 0 and b > 0 else b - a


def _at_equal(first: Run, second: Run, contrast: Contrast) -> tuple[float | None, float | None]:
    """Both values, that of the longer run from its curve where the shorter one ends."""
    ends = first.value(contrast.metric), second.value(contrast.metric)
    images = [float(run.record.get("images") or 0) for run in (first, second)]
    if contrast.at == "end" or not all(images):  # a control is not trained
        return ends
    key = "images" if contrast.at == "images" else "network_passes"
    spent = [float(run.record.get(key) or 0) for run in (first, second)]
    if not all(spent):
        return None, None
    shortest = min(spent)
    a, b = (
        end if own == shortest else at_images(run, contrast.metric, size * shortest / own)
        for run, end, size, own in zip((first, second), ends, images, spent, strict=True)
    )
    return a, b

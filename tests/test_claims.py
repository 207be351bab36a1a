"""Claims are read strictly, answered from runs by the stated rule, and wrong about as rarely as the rule says."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import main
from benchmarks.suite import files
from benchmarks.suite.load import load_suite
from benchmarks.tables import answers, answers_typeset, rows, runs
from benchmarks.tables.claims import Claim, Contrast, Paper, Trial, papers
from benchmarks.tables.curve_values import at_images, slope, straightness
from benchmarks.tables.evidence import LEVEL, OPPOSED, SUPPORTED, UNDECIDED, Evidence
from benchmarks.tables.layout import Kind, Layout, Line, TableColumn, TableTask
from sid.fault import Fault
from tests import results_tree as tree

FD, CLIP = TableColumn("fd", decimals=2), TableColumn("clip", decimals=3, higher=True)
TASK = "digits-cond"


def cells(
    home: Path, values: Mapping[str, Sequence[float]], clip: float = 0.3, kinds: Mapping[str, Kind] | None = None
) -> list[rows.Row]:
    """The cells of made runs: entry -> one distance a seed, of equal lengths in images."""
    lines = []
    for entry, finals in values.items():
        kind: Kind = (kinds or {}).get(entry, "method")
        for seed, final in enumerate(finals):
            run = tree.write_run(home, TASK, entry, entry, kind, 1, seed, final)
            scores = json.loads((run / "scores.json").read_text())
            scores["metrics"]["clip"] = {"value": clip + 0.001 * seed}
            (run / "scores.json").write_text(json.dumps(scores))
        digests = {seed: tree.digest(TASK, entry, seed) for seed in range(len(finals))}
        lines.append(Line(entry, entry, kind, 1, digests))
    layout = Layout("made", "made", (TableTask(TASK, TASK, (FD, CLIP), tuple(lines)),))
    return rows.build(layout, runs.read_runs(home))


def paper(*contrasts: Contrast, **given: str) -> dict[str, Paper]:
    trial = Trial(tasks=("made/*",), contrasts=contrasts, **given)
    claim = Claim(
        name="made", statement="It is so.", section="none", read="nowhere", confidence="inferred", trials=(trial,)
    )
    return {"made": Paper(title="Made", arxiv="2404.04057", claims=(claim,))}


def contrast(relation: str, *entries: str, metric: str = "fd", at: str = "images", within: float | None = None):
    return Contrast(metric=metric, relation=relation, rows=entries, at=at, within=within)


def answer(made: list[rows.Row], *contrasts: Contrast, **given: str) -> answers.Answer:
    (single,) = answers.answers("made", made, paper(*contrasts, **given))
    return single


def test_a_right_claim_is_supported_a_planted_wrong_one_opposed_and_a_coin_flip_undecided(tmp_path: Path) -> None:
    made = cells(tmp_path / "made", {"low": [2.0, 2.2, 1.9], "high": [3.0, 3.4, 2.8], "flip": [2.1, 2.1, 1.95]})
    assert answer(made, contrast("falls", "high", "low")).word == SUPPORTED
    wrong = answer(made, contrast("falls", "low", "high"))
    assert wrong.word == OPPOSED
    (link,) = wrong.links
    assert link.evidence is not None and link.evidence.positive == 0
    mean = math.expm1(sum(math.log(b / a) for a, b in ((2.0, 3.0), (2.2, 3.4), (1.9, 2.8))) / 3)
    assert link.change.startswith(f"+{100 * mean:.3g} % [+"), "the change is the rows', not the claim's"
    coin = answer(made, contrast("falls", "flip", "low"))
    assert coin.word == UNDECIDED and coin.links[0].evidence is not None
    assert all(count is not None and count > 3 for count in coin.links[0].evidence.needed)


def test_fewer_than_three_seeds_decide_nothing(tmp_path: Path) -> None:
    made = cells(tmp_path / "made", {"low": [2.0, 2.0], "high": [30.0, 30.0]})
    small = answer(made, contrast("falls", "high", "low"))
    assert small.word == UNDECIDED and small.remark == "2 seeds: no answer before 3"


def test_every_step_of_an_order_must_hold_and_one_that_fails_opposes(tmp_path: Path) -> None:
    made = cells(tmp_path / "made", {"a": [4.0, 4.1, 4.2], "b": [3.0, 3.1, 3.2], "c": [5.0, 5.1, 5.2]})
    assert answer(made, contrast("falls", "c", "a", "b")).word == SUPPORTED
    broken = answer(made, contrast("falls", "a", "b", "c"))
    assert broken.word == OPPOSED and len(broken.links) == 2


def test_a_tolerance_is_that_of_the_worse_direction(tmp_path: Path) -> None:
    made = cells(tmp_path / "made", {"a": [4.0, 4.1, 4.2], "b": [4.1, 4.19, 4.31], "c": [2.0, 2.1, 2.2]})
    assert answer(made, contrast("keeps", "a", "b", within=0.1)).word == SUPPORTED
    assert answer(made, contrast("keeps", "a", "b", within=0.001)).word == OPPOSED
    assert answer(made, contrast("keeps", "a", "c", within=0.1)).word == SUPPORTED, "far better is no worse"
    assert answer(made, contrast("equals", "a", "b", within=0.1)).word == SUPPORTED
    assert answer(made, contrast("equals", "a", "c", within=0.1)).word == OPPOSED
    both = answer(made, contrast("falls", "a", "c"), contrast("keeps", "a", "c", metric="clip", within=0.01))
    assert both.word == SUPPORTED and both.links[1].change == "+0 [+0, +0]"


def test_a_longer_run_is_compared_where_the_shorter_one_ends(tmp_path: Path) -> None:
    home = tmp_path / "made"
    made = cells(home, {"short": [3.0, 3.1, 3.2], "long": [2.0, 2.1, 2.2]})
    for run in (home / "runs" / TASK / "long").iterdir():
        record = json.loads((run / "record.json").read_text()) | {"images": 1_000_960, "network_passes": 13_000_000}
        (run / "record.json").write_text(json.dumps(record))
        # At the shorter run's 100,096 images it stands between two points of the curve, above the shorter one.
        points = [{"images": 50_048, "fd": 9.0}, {"images": 200_192, "fd": 7.0}, {"images": 1_000_960, "fd": 2.0}]
        (run / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    made = rows.build(Layout("made", "made", (made[0].task,)), runs.read_runs(home))
    assert answer(made, contrast("falls", "short", "long", at="end")).word == SUPPORTED
    assert answer(made, contrast("falls", "short", "long")).word == OPPOSED
    (row,) = [row for row in made if row.line.entry == "long" and row.column.name == "fd"]
    assert at_images(row.runs[0], "fd", 100_096) == pytest.approx(8.0)  # half way on the logarithmic axis
    assert at_images(row.runs[0], "fd", 2_000_000) is None
    by_passes = answer(made, contrast("falls", "short", "long", at="passes"))
    assert by_passes.links[0].evidence is not None
    assert by_passes.links[0].evidence.differences[0] == pytest.approx(math.log(3.0 / 8.0))


def test_a_straight_line_on_logarithmic_axes_is_seen_and_a_plateau_is_not(tmp_path: Path) -> None:
    home = tmp_path / "made"
    cells(home, {"line": [2.0, 2.1, 2.2], "flat": [2.0, 2.1, 2.2]})
    for entry in ("line", "flat"):
        for seed, run in enumerate(sorted((home / "runs" / TASK / entry).iterdir())):
            images = [1000 * 2**k for k in range(8)]
            line = [{"images": count, "fd": (90 + seed) * (count / 1000) ** -0.7} for count in images]
            flat = [{"images": count, "fd": 90 if count == 1000 else 3 + 0.01 * (count % 7)} for count in images]
            points = line if entry == "line" else flat
            (run / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    lines = tuple(
        Line(entry, entry, "method", 1, {seed: tree.digest(TASK, entry, seed) for seed in range(3)})
        for entry in ("line", "flat")
    )
    made = rows.build(Layout("made", "made", (TableTask(TASK, TASK, (FD,), lines),)), runs.read_runs(home))
    straight = answer(made, contrast("log-linear", "line"))
    assert straight.word == SUPPORTED
    assert slope(made[0].runs[0], "fd") == pytest.approx(-0.7)
    assert straightness(made[0].runs[0], "fd") == pytest.approx(1.0)
    assert straight.links[1].change.startswith("+1 ")
    assert answer(made, contrast("log-linear", "flat")).word == OPPOSED


def test_a_control_has_a_run_for_all_seeds_and_is_compared_as_it_is(tmp_path: Path) -> None:
    values = {"student": [2.0, 2.1, 2.2], "real": [1.0]}
    made = cells(tmp_path / "made", values, kinds={"real": "heldout"})
    assert answer(made, contrast("falls", "student", "real")).word == SUPPORTED


def test_a_run_without_a_finite_value_is_the_worst_and_leaves_the_signs_alone(tmp_path: Path) -> None:
    made = cells(tmp_path / "made", {"good": [2.0] * 7, "broken": [math.inf] * 7, "three": [9.0] * 7})
    assert answer(made, contrast("falls", "broken", "good")).word == SUPPORTED
    assert answer(made, contrast("falls", "good", "broken")).word == OPPOSED
    few = cells(tmp_path / "few", {"good": [2.0] * 3, "broken": [math.nan] * 3})
    three = answer(few, contrast("falls", "broken", "good"))
    assert three.word == UNDECIDED and three.links[0].change == "not finite"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((contrast("falls", "a", "absent"), {}), "the suite has no row absent"),
        ((contrast("falls", "a", "b", metric="recall"), {}), "a has no column recall; b has no column recall"),
        ((contrast("falls", "a", "b"), {"lacks": "needs weights"}), "needs weights"),
        ((contrast("falls", "a", "partial"), {}), "partial: incomplete: seed 2 not run"),
        ((contrast("falls", "a", "old"), {}), "old: outdated: seed 0 made by another recipe than the suite now states"),
    ],
)
def test_what_cannot_be_tried_says_why(tmp_path: Path, given: tuple, why: str) -> None:
    home = tmp_path / "made"
    made = cells(home, {"a": [2.0] * 3, "b": [3.0] * 3, "partial": [3.0] * 3, "old": [3.0] * 3})
    (home / "runs" / TASK / "partial" / "2" / "scores.json").unlink()
    stale = home / "runs" / TASK / "old" / "0" / "scores.json"
    stale.write_text(json.dumps(json.loads(stale.read_text()) | {"digest": "0" * 12}))
    made = rows.build(Layout("made", "made", (made[0].task,)), runs.read_runs(home))
    single = answer(made, given[0], **given[1])
    assert single.word == answers.NOT_TRIED and single.why == why


def test_several_tasks_are_joined_seed_by_seed(tmp_path: Path) -> None:
    home = tmp_path / "made"
    made = cells(home, {"a": [4.0, 4.4, 4.8], "b": [3.0, 3.2, 3.9]})
    other = tuple(rows.Row(TableTask("digits-uncond", "other", (FD, CLIP), ()), *_rest(row)) for row in made)
    given = answers.answers("made", [*made, *other], paper(contrast("falls", "a", "b")))
    assert [single.task for single in given] == [TASK, "digits-uncond", f"mean of {TASK}, digits-uncond"]
    joined = given[-1]
    assert joined.joined and joined.links[0].seeds == (0, 1, 2), "tasks share draws: the seed stays the unit"
    assert joined.links[0].change == given[0].links[0].change
    assert answers_typeset.tally(given) == [(given[0].word, 2)]


def _rest(row: rows.Row) -> tuple:
    return row.line, row.column, row.runs, row.values, row.judgement


# Simulated seeds without any effect: what the rule promises, and what it does not.


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_without_an_effect_few_claims_are_decided(seeds: int) -> None:
    draws = np.random.default_rng(16).normal(size=(1000, seeds))
    words = [Evidence(tuple(drawn)).word for drawn in draws]
    decided = 1000 - words.count(UNDECIDED)
    limit = 1000 * LEVEL + 3 * math.sqrt(1000 * LEVEL * (1 - LEVEL))  # three standard deviations of the simulation
    assert decided <= limit, f"{decided} of 1000"
    assert decided >= 10, "a rule that never decides would pass, too"
    assert abs(words.count(SUPPORTED) - words.count(OPPOSED)) <= 3 * math.sqrt(decided)


def test_without_an_effect_an_order_of_three_is_rarely_decided() -> None:
    draws = np.random.default_rng(17).normal(size=(600, 3, 3))
    words = [[Evidence(tuple(drawn), steps=3).word for drawn in three] for three in draws]
    assert sum(set(three) == {SUPPORTED} for three in words) == 0
    assert sum(OPPOSED in three for three in words) <= 600 * LEVEL


def test_the_stated_error_rates_beyond_normal_differences() -> None:
    """docs/claims.md prints them: at three seeds the rule depends on the normal law."""
    generator = np.random.default_rng(18)
    halves = generator.choice([-1.0, 1.0], size=(500, 3)) + 0.1 * generator.normal(size=(500, 3))
    decided = sum(Evidence(tuple(drawn)).word != UNDECIDED for drawn in halves)
    assert 0.15 * 500 < decided < 0.35 * 500, "about a quarter, as for the signs alone"


def test_the_numbers_of_seeds_that_would_decide() -> None:
    mean, spread = 1.0, 1.0
    evidence = Evidence((0.0, 1.0, 2.0))
    assert (evidence.mean, evidence.smallest_p, evidence.p) == (mean, 0.25, 0.5)
    by_t, by_sign = evidence.needed
    assert by_t == 10  # the usual table: effect of one standard deviation, power 0.8, two-sided 5 %
    assert by_sign is not None and by_sign > by_t
    draws = np.random.default_rng(19).normal(mean, spread, size=(400, by_t))
    reached = sum(Evidence(tuple(drawn)).interval[0] > 0 for drawn in draws)  # type: ignore[index]
    assert reached > 0.74 * 400
    assert Evidence((1.0, -1.0)).needed == (None, None)
    assert Evidence((0.0, 0.0, 0.0)).word == UNDECIDED and Evidence((0.0, 0.0, 0.0)).p == 1.0


# The shipped files.


def test_every_claim_names_rows_that_a_suite_has_or_says_why_none_has() -> None:
    suites = [load_suite(name) for name in files.names("suite")]
    wrong = []
    for claim in (claim for its in papers().values() for claim in its.claims):
        for trial in claim.trials:
            places = [
                (suite, task) for suite in suites for task in suite.tasks if claim.trial(suite.name, task) is trial
            ]
            complete = [
                f"{suite.name}/{task}"
                for suite, task in places
                if {row for its in trial.contrasts for row in its.rows} <= suite.entries_of(task).keys()
                and {its.metric for its in trial.contrasts}
                <= suite.protocols[suite.tasks[task].protocol].metrics.keys()
            ]
            if bool(complete) == bool(trial.lacks):
                wrong.append(f"{claim.name}, {', '.join(trial.tasks)}: {complete or 'no suite has its rows'}")
    assert not wrong, wrong


def test_the_issues_claims_are_all_there() -> None:
    names = {claim.name for its in papers().values() for claim in its.claims}
    assert len(names) >= 30
    assert names >= {
        "sid-alpha-1.2-over-1.0",
        "sid-alpha-0.5-unstable",
        "sid-log-linear-fall",
        "sim-huber-over-squared-small-rate",
        "sim-huber-over-squared-large-rate",
        "sim-over-diff-instruct",
        "lsg-kappa-raises-clip",
        "lsg-kappa-raises-distance",
        "lsg-over-long-and-short",
        "few-step-uniform-mixture",
        "few-step-more-steps",
        "zero-cfg-diversity",
        "anti-cfg-diversity",
        "sida-adversarial-helps",
        "sid2a-beats-its-start",
        "dmd-needs-regression",
        "dmd-needs-matching",
        "dmd2-two-time-scales",
        "dmd2-backward-simulation",
        "sid-detached-is-dmd",
    }


def test_a_wrong_file_gives_all_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "made" / "claims.yaml"
    file.parent.mkdir()
    file.write_text(
        "title: Made\narxiv: '2404.04057'\nclaims:\n  - {name: a, statement: s, section: s, read: r, "
        "confidence: reed, trials: [{tasks: ['x/*'], contrasts: [{metric: fd, relation: fall, rows: [a, b]},"
        "{metric: fd, relation: keeps, rows: [a, b]}]}]}\n"
    )
    with pytest.raises(Fault) as caught:
        papers(tmp_path)
    text = "\n".join(caught.value.sentences)
    assert "claims.0.confidence: unknown value 'reed'; did you mean 'read'?" in text
    assert "contrasts.0.relation: unknown value 'fall'; did you mean 'falls'?" in text
    assert "contrasts.1: keeps needs within" in text


def test_the_verb_and_the_tables_print_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tree.write(tmp_path)
    assert main(["claims", str(home)]) == 0
    shown = capsys.readouterr().out
    assert "sid-alpha-1.2-over-1.0" in shown and "not tried" in shown and "the suite has no row sida" in shown
    assert "lsg-longer-training: `*/sd15-coco`" in shown, "claims without a task here are named with their places"
    assert main(["table", str(home), "--quiet"]) == 0
    (header, *lines) = csv.reader(io.StringIO((home / "tables" / "claims.csv").read_text()))
    assert tuple(header) == answers_typeset.HEADER and lines
    assert (home / "tables" / "claims.md").read_text().strip() in shown

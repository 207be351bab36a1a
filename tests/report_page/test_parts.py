"""Fronts, published lines, prompts, the audit and random weights: what they show of made results."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.report import audit, curves, drawing, fronts, page, samples
from benchmarks.suite.config import Entry
from benchmarks.suite.digests import scored
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan
from benchmarks.suite.protocol import Protocol
from benchmarks.suite.released import released
from benchmarks.tables import rows as table_rows
from benchmarks.tables import runs, typeset
from benchmarks.tables.layout import layout_of
from sid.discovery import VERIFIED
from tests import results_tree as tree
from tests.report_page import full


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full.write(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def rows(home: Path) -> list[table_rows.Row]:
    return full.rows(home)


@pytest.fixture(scope="module")
def drawn(home: Path, rows: list[table_rows.Row]) -> fronts.TaskFront:
    found = fronts.front(full.layout().tasks[-1], rows, full.extras(home).printed)
    assert found is not None
    return found


def test_families_are_ordered_along_their_series(drawn: fronts.TaskFront) -> None:
    kinds = {family.name: (family.kind, [point.at for point in family.points]) for family in drawn.families}
    assert kinds == {
        "teacher, 50 steps": ("teacher", [1.5, 3.0, 7.5]),
        "SiD-LSG": ("series", [1.5, 2.0, 4.5]),
        "DMD2 <script>alert(2)</script>": ("series", [None]),
        "printed elsewhere": ("printed", [None]),
    }
    assert [family.place for family in drawn.families if family.kind == "series"] == [0, 1]


def test_a_point_is_its_seeds_their_mean_and_what_is_printed(drawn: fronts.TaskFront) -> None:
    first = next(family for family in drawn.families if family.name == "SiD-LSG").points[0]
    assert set(first.seeds) == set(tree.SEEDS)
    assert first.mean == pytest.approx((0.304, 8.7))
    assert first.published == (0.302, 8.71)
    assert drawn.families[-1].points[0].published == (0.305, 13.1)
    assert drawn.families[-1].points[0].mean is None


def test_who_is_surpassed_in_both_scores() -> None:
    points = [fronts.Point(str(at), at, {0: pair}) for at, pair in enumerate([(0.30, 9.0), (0.31, 9.5), (0.29, 9.4)])]
    family = fronts.Family("f", "series", 0, tuple(points))
    assert fronts.TaskFront("t", "T", full.CLIP, full.FID, (family,)).best == {(0.30, 9.0), (0.31, 9.5)}
    assert fronts.TaskFront("t", "T", full.FID, full.FID, (family,)).best == {(0.29, 9.4), (0.30, 9.0)}


def test_no_front_without_a_protocol_that_names_one_or_a_number(rows: list[table_rows.Row]) -> None:
    assert fronts.front(tree.layout().tasks[0], rows) is None
    task = full.layout().tasks[-1]
    assert fronts.front(task, table_rows.build(full.layout(), {})) is None


def test_the_front_draws_every_seed_mean_line_and_printed_mark(drawn: fronts.TaskFront) -> None:
    axis = fronts.drawn(drawn).axes[0]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("CLIP, higher is better", "FID, lower is better")
    seeds = [line for line in axis.lines if line.get_alpha() == 0.35]
    assert sorted(len(line.get_xdata()) for line in seeds) == [3, 9, 9]
    joined = [
        list(line.get_xdata()) for line in axis.lines if line.get_linewidth() == 1.5 and line.get_marker() == "None"
    ]
    assert [len(line) for line in joined if len(line) > 1] == [3, 3]
    hollow = [line for line in axis.lines if line.get_marker() == "o" and line.get_markerfacecolor() == drawing.PAPER]
    assert sum(len(line.get_xdata()) for line in hollow) == 4
    places = {text.get_text() for text in axis.texts if text.get_fontsize() == fronts.NUMBER and text.get_text()}
    assert places == {"1.5", "2", "4.5", "3", "7.5", "A method <i>printed</i>"}
    heads = [text for text in axis.texts if text.arrow_patch is not None]
    assert len(heads) == 4, "one a segment of the two lines"


def test_a_front_names_each_series_at_its_line_and_each_printed_method_once(drawn: fronts.TaskFront) -> None:
    axis = fronts.drawn(drawn).axes[0]
    names = [text.get_text() for text in axis.texts if text.get_fontweight() == "bold"]
    assert sorted(names) == sorted(["SiD-LSG", "teacher, 50 steps", "DMD2 <script>alert(2)</script>"])


def test_an_arrow_points_to_the_larger_guidance(drawn: fronts.TaskFront) -> None:
    axis = fronts.drawn(drawn).axes[0]
    series = next(family for family in drawn.families if family.name == "SiD-LSG")
    (x, y), (to_x, to_y) = (axis.transData.transform(point.mean) for point in series.points[:2])
    heads = [text for text in axis.texts if text.arrow_patch is not None]
    moves = [axis.transData.transform(head.xy) - axis.transData.transform(head.xyann) for head in heads]
    assert any(move[0] * (to_x - x) > 0 and move[1] * (to_y - y) > 0 for move in moves)


def test_one_sentence_says_what_is_seen(drawn: fronts.TaskFront) -> None:
    said = fronts.sentence(drawn)
    assert said.startswith(
        "Along the arrows, teacher, 50 steps from 1.5 to 7.5: FID rises from 13.40 to 13.90 (best at 3)"
    )
    assert "SiD-LSG from 1.5 to 4.5: FID rises from 8.70 to 16.60 and CLIP rises from 0.304 to 0.317" in said


def test_marks_say_their_seeds(drawn: fronts.TaskFront) -> None:
    said = fronts.tips(drawn)
    text = drawing.as_inline(fronts.drawn(drawn), "p", "label", said)
    assert text.count('class="mark"') == len(said) == 7
    assert "DMD2 &lt;script&gt;alert(2)&lt;/script&gt;: clip 0.310" in text


def test_equal_fronts_are_equal_bytes(drawn: fronts.TaskFront) -> None:
    assert drawing.as_svg(fronts.drawn(drawn)) == drawing.as_svg(fronts.drawn(drawn))


def test_ticks_keep_their_digits_on_the_page(drawn: fronts.TaskFront) -> None:
    text = drawing.as_inline(fronts.drawn(drawn), "p", "label")
    assert ">0.295<" in text and ">0.300<" in text


def test_the_page_writes_the_front_as_files_too(home: Path, rows: list[table_rows.Row], tmp_path: Path) -> None:
    page.write(full.layout(), rows, tmp_path, full.extras(home))
    assert {file.name for file in tmp_path.iterdir()} >= {"front-made-t2i.svg", "front-made-t2i.png", "figure.svg"}
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 2_000_000
    assert "the paper&#39;s text" in text and "quoted by another paper" in text
    assert "a &lt;script&gt;peer" in text and "resize +0.39" in text


def test_a_protocol_names_two_of_its_columns() -> None:
    columns = {name: {"metric": "frechet", "features": "a.b"} for name in ("fid", "clip")}
    settings = {"name": "p", "samples": 1, "metrics": columns}
    plain = Protocol.model_validate(settings)
    front = Protocol.model_validate({**settings, "front": {"x": "clip", "y": "fid"}})
    assert plain.front is None and scored(plain) == scored(front)  # it decides no score
    with pytest.raises(ValidationError, match="unknown column 'clipp'; did you mean 'clip'"):
        Protocol.model_validate({**settings, "front": {"x": "clipp", "y": "fid"}})
    with pytest.raises(ValidationError, match="two columns"):
        Protocol.model_validate({**settings, "front": {"x": "fid", "y": "fid"}})


def test_published_values_are_lines_of_the_training_figure(home: Path) -> None:
    printed = full.printed("sid-1.2", "fd", 2.4, 1).model_copy(update={"task": "digits-cond"})
    found = table_rows.build(full.layout(), runs.merge([home]), {("digits-cond", "sid-1.2", "fd"): printed})
    group = [row for row in found if (row.task.name, row.column.name) == ("digits-cond", "fd")]
    panel = curves.panel(group, curves.places(group))
    assert {curve.entry: curve.published for curve in panel.curves if curve.published} == {"sid-1.2": 2.4}
    level = [line for line in curves.overview([panel]).axes[0].lines if list(line.get_ydata()) == [2.4, 2.4]]
    assert [line.get_color() for line in level] == [drawing.COLOURS[0]]


def test_prompts_are_the_heads_of_the_samples(home: Path, rows: list[table_rows.Row]) -> None:
    strips = samples.strips(full.layout().tasks[-1], rows)
    assert len(strips) == len(full.SWEEP) and all(strip.photo for strip in strips)
    assert samples.heads(strips) == list(full.CAPTIONS[: samples.SHOWN])
    assert all(image.startswith("data:image/jpeg") for image in strips[0].images)
    apart = samples.Strip("held-out", False, 0, strips[0].images, ("its own",) * samples.SHOWN)
    assert samples.heads([*strips, apart]) == list(full.CAPTIONS[: samples.SHOWN])
    digits = samples.strips(full.layout().tasks[0], rows)
    assert samples.heads(digits) == [str(index) for index in range(samples.SHOWN)]


def test_the_teachers_guidance_is_its_place_and_released_generators_are_components() -> None:
    suite = load_suite("smoke")
    name = sorted(released())[0]
    taught = {"label": "t", "control": "teacher", "steps": 2, "kappa": 3.0, "series": "teacher"}
    entries = {"teacher": Entry.model_validate(taught), "theirs": Entry.model_validate({"released": name})}
    entries["student"] = Entry.model_validate({"method": "sid", "kappa": 2.0, "series": "guided student"})
    layout = layout_of(Plan(suite.model_copy(update={"entries": entries})))
    assert [(line.series, line.at) for line in layout.tasks[0].lines] == [
        ("teacher", 3.0),
        ("", None),
        ("guided student", 2.0),
    ]
    (part,) = [part for part in layout.components if part.kind == "released"]
    assert (part.name, part.version) == (name, None) and part.verified in VERIFIED


def test_random_weights_are_marked_and_get_no_verdict(rows: list[table_rows.Row]) -> None:
    found = [row for row in rows if row.line.entry == "dmd2"]
    assert [row.judgement.text for row in found] == ["random weights", "reproduced"]
    marked = list(csv.DictReader(io.StringIO(typeset.as_csv(found))))
    assert [line["verdict"] for line in marked] == ["random weights", "reproduced"]
    assert "9.90 ± 0.20 (random weights)" in typeset.as_markdown("t", rows)
    assert "(random weights)" in typeset.as_latex("t", rows)


def test_a_run_that_is_random_altogether_says_so_once(home: Path) -> None:
    run = runs.Run(home, "t", "e", 0, {"random_weights": True, "metrics": {"fid": {"value": 1.0}}})
    assert run.random("fid") and not runs.Run(home, "t", "e", 0, {"metrics": {"fid": {"value": 1.0}}}).random("fid")


def test_teachers_stand_above_and_controls_below(rows: list[table_rows.Row]) -> None:
    _, _, group = next(found for found in table_rows.groups(rows) if found[0].name == full.TASK)
    order = [row.line.entry for row in group]
    assert order == ["teacher-3", "teacher-1.5", "teacher-7.5", "lsg-4.5", "lsg-1.5", "lsg-2", "dmd2", "untrained"]


def test_the_audit_of_a_suite_goes_before_that_of_all(home: Path, tmp_path: Path) -> None:
    (found,) = audit.read(home)
    assert found.title == "FID" and [row[0] for row in found.rows] == ["inception-tf", "a <script>peer"]
    assert audit.read(tmp_path / "mini") == []
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.csv").write_text("a,b\n1,2\n")
    assert audit.files(tmp_path / "mini") and audit.read(tmp_path / "mini") == []


def test_a_score_that_is_no_number_is_no_point(home: Path, tmp_path: Path) -> None:
    file = full.write(tmp_path) / "runs" / full.TASK / "lsg-2" / "1" / "scores.json"
    scores = json.loads(file.read_text())
    scores["metrics"]["fid"]["value"] = math.nan
    file.write_text(json.dumps(scores))
    found = fronts.front(full.layout().tasks[-1], full.rows(tmp_path / "mini"))
    assert found is not None
    point = next(point for family in found.families for point in family.points if point.at == 2.0)
    assert set(point.seeds) == {0, 2}


def test_the_page_shows_each_claim_with_its_answer_and_steps(home: Path, rows: list[table_rows.Row]) -> None:
    text = page.render(full.layout(), rows, full.extras(home))
    start = text.index('id="claims"')
    section = text[start : text.index("</section>", start)]
    assert "SiD with alpha 1.2 ends at a lower distance than with alpha 1.0." in section
    assert section.count("SiD with alpha 1.2 ends") == 3, "two tasks, and the mean of both"
    assert (
        '<span class="pill not-tried">not tried</span><small class="why">the suite has no row sida</small>' in section
    )
    assert "No task here for:" in section and "would be decided by chance" in section
    assert "What the papers claim" not in page.render(full.layout(), rows)


@pytest.mark.parametrize("absent", ["teacher", "heldout", "untrained"])
def test_a_suite_needs_no_control_for_a_page(absent: str, home: Path, rows: list[table_rows.Row]) -> None:
    layout = full.layout()
    tasks = tuple(
        replace(task, lines=tuple(line for line in task.lines if line.kind != absent)) for task in layout.tasks
    )
    text = page.render(replace(layout, tasks=tasks), [row for row in rows if row.line.kind != absent], page.Extras())
    assert "against training images" in text

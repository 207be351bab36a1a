"""The page: whole, offline, safe, equal bytes for equal results, and readable by more than eyes."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.report import costs, curves, drawing, matrix, page, samples, strip
from benchmarks.tables import rows as table_rows
from benchmarks.tables import runs
from benchmarks.tables.layout import Layout
from benchmarks.tables.summary import summary
from tests import results_tree as tree


class Reader(HTMLParser):
    """Collects what the tests ask about."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def rows_of(home: Path, layout: Layout | None = None) -> list[table_rows.Row]:
    return table_rows.build(layout or tree.layout(), runs.merge([home]), {}, tree.reference())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree.write(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def written(home: Path) -> str:
    return page.write(tree.layout(), rows_of(home), home / "report").read_text(encoding="utf-8")


def test_page_and_figure_are_equal_bytes_for_equal_results(home: Path, written: str, tmp_path: Path) -> None:
    first = {file.name: file.read_bytes() for file in (home / "report").iterdir()}
    assert set(first) == {"index.html", "figure.svg", "figure.png"}
    page.write(tree.layout(), rows_of(home), tmp_path)
    assert first == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_page_asks_nobody_for_anything(written: str) -> None:
    reader = Reader(written)
    addresses = [value or "" for _, found in reader.tags for name, value in found.items() if name in ("src", "href")]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "@import" not in written and not re.search(r"url\((?!#)", written)
    assert re.search(r"default-src 'none'", written)
    assert len(written.encode()) < 2_000_000


def test_a_method_named_script_is_shown_and_not_run(written: str) -> None:
    assert len(Reader(written).all("script")) == 1
    assert "<script>alert" not in written
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written


def test_page_is_well_formed_and_described(written: str) -> None:
    reader = Reader(written)
    assert not reader.wrong and not reader.open
    names = [value for _, found in reader.tags for name, value in found.items() if name == "id"]
    assert len(names) == len(set(names))
    assert {found["href"] for found in reader.all("a")} <= {f"#{name}" for name in names}
    headed = [found for tag, found in reader.tags if tag == "th"]
    assert headed and all(found.get("scope") in ("col", "row") for found in headed)
    assert all(found.get("alt") for found in reader.all("img"))
    outer = re.sub(r'<table class="runs">.*?</table>', "", written, flags=re.DOTALL)
    assert outer.count("<caption") == outer.count("<table")


def test_every_cell_leads_to_its_record(written: str) -> None:
    assert written.count('<td class="record"><details>') == len(tree.TASKS) * len(tree.ENTRIES) * len(tree.COLUMNS)
    for entry in ("sid-1.2", "teacher"):
        assert f"sidbench run mini digits-cond/{entry}/1" in written
    assert "4f004e34f004 with uncommitted changes" in written
    assert f"teacher {1:064x}" in written and "torch 2.15.0" in written


def test_page_states_rule_controls_and_verification(written: str) -> None:
    text = re.sub(r"\s+", " ", written)
    assert "largest of three allowances" in text
    assert text.count("10 % of the compared value") == 4
    assert ">layout</td>" in text and "Heusel et al." in text
    for word in ("reproduced", "close", "off"):
        assert f'class="pill {word}"' in text


def test_the_first_screen_answers_what_was_reproduced_and_by_how_much(home: Path, written: str) -> None:
    first = re.sub(r"\s+", " ", written[: written.index("<main>")])
    overview = summary(rows_of(home))
    assert dict(overview.tally) == {"reproduced": 8, "close": 4, "off": 4, "not compared": 4}
    assert overview.answer in first and "8 of 16 judged cells of methods are reproduced" in overview.answer
    assert "Controls, counted apart" in first and "the farthest is DMD" in first
    assert first.count("<svg") == len(tree.TASKS), "the headline figure: a panel a task"
    assert "digits, conditional: SiD, alpha 1.2 is best in fd with 2.41 ± 0.22 in 1 step" in first


def test_a_task_has_one_table_of_methods_by_metrics(home: Path, written: str) -> None:
    tables = re.findall(r'<table class="matrix">.*?</table>', written, flags=re.DOTALL)
    assert len(tables) == len(tree.TASKS)
    for text in tables:
        assert text.count('class="value"') == len(tree.ENTRIES) * len(tree.COLUMNS)
        assert text.count('<span class="pill') == len(tree.ENTRIES) * len(tree.COLUMNS)
        assert text.count('class="mark-best"') == len(tree.COLUMNS)
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond"]
    made = matrix.matrix(rows)
    assert [name for name, _ in made.groups] == ["teacher", "methods", "controls"]
    best = [
        cell.row.line.entry for _, lines in made.groups for line in lines for cell in line.cells if cell and cell.best
    ]
    assert best == ["sid-1.2", "sid-1.2"]
    said = matrix.tip(next(row for row in rows if row.line.entry == "sid-1.2"))
    assert "seeds 0: 2.190, 1: 2.410, 2: 2.630" in said and "reference 2.46" in said


def test_page_of_a_broken_tree_still_says_what_is_missing(tmp_path: Path) -> None:
    home = tree.write(tmp_path)
    shutil.rmtree(home / "runs" / "digits-uncond")
    (home / "runs/digits-cond/sim/0/scores.json").write_text("[]")
    (home / "runs/digits-cond/sid-1.2/0/record.json").unlink()
    (home / "runs/digits-cond/sid-1.2/0/samples.npz").write_bytes(b"PK no archive")
    (home / "runs/digits-cond/dmd/0/curve.jsonl").write_text("{half")
    text = page.render(tree.layout(), rows_of(home))
    assert "not run" in text and "unreadable" in text and "no record lies beside this run" in text
    assert not Reader(text).wrong


def test_notes_stand_under_the_table_and_at_the_run_and_are_escaped(tmp_path: Path) -> None:
    home = tree.write(tmp_path)
    file = home / "runs/digits-cond/sim/1/record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"notes": ["drawn <script>alert(3)</script> by index"]}))
    text = page.render(tree.layout(), rows_of(home))
    escaped = "drawn &lt;script&gt;alert(3)&lt;/script&gt; by index"
    assert "<script>alert(3)" not in text and not Reader(text).wrong
    assert text.count(f"<em>{escaped}</em>") == len(tree.COLUMNS)
    assert text.count(f"<li>SIM: {escaped} (seed 1)</li>") == len(tree.COLUMNS)
    assert text.count('<ul class="notes"') == len(tree.COLUMNS)


def test_figure_draws_every_seed_and_the_medians(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    panel = curves.panel(rows, curves.places(rows))
    assert [curve.entry for curve in panel.curves] == ["sid-1.2", "sid-1.0", "sim", "dmd", "evil", "critic-frozen"]
    assert panel.lines["teacher"][1] == pytest.approx(2.04) and panel.lines["heldout"][1] == pytest.approx(1.02)
    assert all(set(curve.seeds) == set(tree.SEEDS) for curve in panel.curves)
    assert panel.curves[0].final == pytest.approx(2.41)
    axis = curves.overview([panel]).axes[0]
    assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
    thick = [line for line in axis.lines if line.get_linewidth() == 1.9]
    thin = [line for line in axis.lines if line.get_linewidth() < 0.8]
    methods = [curve.entry for curve in panel.methods]
    assert methods == ["sid-1.2", "sid-1.0", "sim", "dmd", "evil"]
    assert len(thick) == len(methods) and len(thin) == len(methods) * len(tree.SEEDS)


def stretched(home: Path) -> curves.Panel:
    """One task's panel whose ablation diverged and whose floor is 0 but for rounding."""
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    panel = curves.panel(rows, curves.places(rows))
    far = {
        seed: [(images, 1000 * value) for images, value in points] for seed, points in panel.curves[-1].seeds.items()
    }
    controls = {"heldout": ("held-out images", 1e-13), "teacher": panel.lines["teacher"]}
    return replace(panel, curves=(*panel.curves[:-1], replace(panel.curves[-1], seeds=far)), lines=controls)


def test_controls_do_not_stretch_the_axes(home: Path) -> None:
    panel = stretched(home)
    assert panel.curves[-1].kind == "ablation" and set(panel.near) == {"teacher"}
    scores = [value for curve in panel.methods for points in curve.seeds.values() for _, value in points]
    low, high = curves.overview([panel]).axes[0].get_ylim()
    assert low > 0.5 * 2.04 and max(scores) < high < 1.5 * max(scores)
    shown = {text.get_text() for text in curves.small(panel, panel.curves[-1]).axes[0].texts}
    assert shown == {"↑ ends at 14,600"}


def test_every_curve_is_named_at_its_end_and_no_name_covers_another(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    panel = curves.panel(rows, curves.places(rows))
    figure = curves.alone(panel)
    axis = figure.axes[0]
    names = [text for text in axis.texts if text.get_fontweight() == "bold"]
    assert len(names) == len(panel.methods)
    height = axis.get_position().height * figure.get_size_inches()[1] * 72
    places = sorted(text.xyann[1] * height for text in names)
    assert min(b - a for a, b in pairwise(places)) >= curves.LINE_HEIGHT - 1e-6


def test_points_that_no_logarithm_shows_are_left_out() -> None:
    assert curves._points(
        [{"images": 1, "fd": 0.0}, {"images": 2, "fd": float("nan")}, {"images": 4, "fd": 3.0}], "fd"
    ) == [(4, 3.0)]


def test_images_to_a_tenth_of_the_final_score() -> None:
    assert curves.images_to([(1, 9.0), (2, 2.19), (4, 2.5), (8, 2.0)], higher=False) == 2
    assert curves.images_to([(1, 0.5), (2, 0.9), (4, 0.95)], higher=True) == 2
    assert curves.images_to([], higher=False) is None


def test_cost_is_summed_over_runs(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    found = {cost.label: cost for cost in costs.of_task(rows)}
    sid = found["SiD, alpha 1.2"]
    assert sid.runs == 3 and sid.hours == pytest.approx(3 * 0.0047)
    assert sid.memory == 410_000_002 and sid.rate == 6399.0
    assert sid.reach is not None and sid.reach < 100_096
    assert found["teacher, Heun 18 steps"].reach is None


def test_the_cost_table_says_once_what_is_alike(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    table = costs.table(costs.of_task(rows))
    assert table.heads == ("runs", "device time, all runs")
    assert "peak memory: 391 MiB" in table.equal and any(words.startswith("images a run: 100") for words in table.equal)
    times = [dict(zip(table.heads, cells, strict=True))["device time, all runs"][0] for _, cells in table.lines]
    assert times[0] == "50.8 s" and times[-1] == "16.9 s"


def test_samples_are_the_first_of_the_first_seed(home: Path) -> None:
    layout = tree.layout()
    shown = samples.strips(layout.tasks[0], rows_of(home))
    assert len(shown) == len(tree.ENTRIES)
    assert {strip.seed for strip in shown} == {0} and {len(strip.images) for strip in shown} == {samples.SHOWN}
    assert [strip.noise for strip in shown] == [True] * (len(shown) - 1) + [False]


def test_command_makes_page_and_tables_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tree.write(tmp_path)
    assert main(["table", str(home)]) == 0
    assert "digits, unconditional: fd" in capsys.readouterr().out
    assert {file.name for file in (home / "tables").iterdir()} == {
        *("verdict.md", "verdict.csv", "verdict.tex"),
        *("claims.md", "claims.csv"),
    }
    assert main(["--results", str(tmp_path), "report", "mini"]) == 0
    text = (home / "report" / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in text and "made by another recipe than the suite now states" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["table", "mimi"], "did you mean 'mini'?"),
        (["report", "mini"], "no finished run"),
        (["table", "empty"], "holds no results"),
        (["table", "mini", "smoke", "--out", "x"], "no finished run"),
        (["table", "strange"], "the suite 'strange', which does not ship; name its file too"),
    ],
)
def test_a_mistake_is_a_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange" / "runs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_dots_lie_on_one_axis(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    axis = strip.axis_of(rows)
    assert axis is not None and not axis.logarithmic
    drawn = strip.dots(rows[1], axis)
    assert len(drawn.seeds) == 3 and list(drawn.seeds) == sorted(drawn.seeds)
    assert drawn.band is not None and drawn.band[0] < drawn.target < drawn.band[0] + drawn.band[1]
    assert strip.axis_of([]) is None


def test_a_control_lies_beyond_the_axis_of_dots(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    floor = replace(rows[-1], values={0: -9e-13})
    axis = strip.axis_of([*rows[:-1], floor])
    assert axis is not None and axis.low > 1 and axis.high < 5, "the untrained network's 14 is out too"
    assert strip.dots(floor, axis).seeds == () and strip.dots(floor, axis).beyond == (strip.MARGIN,)


def test_theme_replaces_every_colour(home: Path) -> None:
    rows = [row for row in rows_of(home) if row.task.name == "digits-cond" and row.column.name == "fd"]
    text = drawing.as_inline(curves.overview([curves.panel(rows, curves.places(rows))]), "f", 'a "label"')
    assert not re.search(r"(?:fill|stroke): ?#[0-9a-f]{6}", text)
    assert 'aria-label="a &quot;label&quot;"' in text and "xmlns" not in text

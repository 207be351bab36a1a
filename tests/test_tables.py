"""The verdict's rule at its edges, rows for whatever is missing, and tables that are equal bytes."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tables import committed, runs, typeset
from benchmarks.tables import rows as table_rows
from benchmarks.tables.published import Published
from benchmarks.tables.summary import tally
from benchmarks.tables.verdict import CLOSE, NO_TARGET, OFF, ONE_SEED, PASSED, REPRODUCED, Target, fixed, judge
from sid.fault import Fault
from tests import results_tree as tree


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tree.write(tmp_path)


def rows_of(home: Path) -> list[table_rows.Row]:
    return table_rows.build(tree.layout(), runs.merge([home]), {}, tree.reference())


def cell(rows: list[table_rows.Row], task: str, entry: str, metric: str = "fd") -> table_rows.Row:
    matches = [row for row in rows if (row.task.name, row.line.entry, row.column.name) == (task, entry, metric)]
    assert len(matches) == 1
    return matches[0]


@pytest.mark.parametrize(
    ("values", "target", "tolerance", "word"),
    [
        ([2.415], Target(2.41, 2), 0.0, REPRODUCED),  # exactly half a unit of the last printed digit
        ([2.4151], Target(2.41, 2), 0.0, CLOSE),
        ([2.425], Target(2.41, 2), 0.0, CLOSE),  # exactly three times that
        ([2.4251], Target(2.41, 2), 0.0, OFF),
        ([2.46], Target(2.4, 1), 0.0, CLOSE),  # 2.4 as printed, not 2.40
        ([2.44], Target(2.4, 1), 0.0, REPRODUCED),
        ([2.2, 2.0], Target(2.1 + 2 * 0.02**0.5 * 0.999, 6), 0.0, REPRODUCED),  # twice the sample deviation
        ([2.2, 2.0], Target(2.1 + 2 * 0.02**0.5 * 1.001, 6), 0.0, CLOSE),
        ([2.2, 2.0], Target(2.1 + 6 * 0.02**0.5 * 1.001, 6), 0.0, OFF),
        ([2.1], Target(2.1, 2, own=True), 0.5, ONE_SEED),  # beside the project's own reference
        ([9.9], Target(2.1, 2, own=True), 0.5, ONE_SEED),
        ([2.1, 2.11], Target(2.1, 2, own=True), 0.0, REPRODUCED),  # two have a spread
        ([2.3, 2.31], Target(2.1, 2, own=True), 0.0, OFF),
        ([11.0], Target(10.0, 2), 0.1, REPRODUCED),  # the tolerance is a share of the target
        ([9.0], Target(10.0, 2), 0.1, REPRODUCED),
        ([11.01], Target(10.0, 2), 0.1, CLOSE),
        ([13.0], Target(10.0, 2), 0.1, CLOSE),
        ([13.01], Target(10.0, 2), 0.1, OFF),
        ([-0.5], Target(-0.5, 1), 0.0, REPRODUCED),
        ([2.41], Target(2.41, 2, authors=False), 0.0, CLOSE),  # not the authors' own words
        ([float("nan"), 2.41], Target(2.41, 2), 0.0, OFF),
    ],
)
def test_rule(values: list[float], target: Target, tolerance: float, word: str) -> None:
    assert judge(dict(enumerate(values)), target, tolerance).word == word


def test_one_seeds_trials_give_the_deviation_by_drawing_anew() -> None:
    score = {"value": 1.925, "details": {"trials": [1.915, 1.935], "rule": "mean"}}
    run = runs.Run(Path(), "t", "e", 0, scores={"metrics": {"fid": score}})
    spread = run.trial_spread("fid")
    assert spread == pytest.approx(0.02 / 2**0.5) and run.trial_spread("is") == 0.0
    assert judge({0: 1.925}, Target(1.923, 3), 0.0).word == OFF
    assert judge({0: 1.925}, Target(1.923, 3), 0.0, spread).word == REPRODUCED
    assert judge({0: 1.925}, Target(1.860, 3), 0.0, spread).word == CLOSE
    score["details"]["rule"] = "minimum"
    assert run.trial_spread("fid") == 0.0, "the smallest of three says nothing of a mean"


def test_negative_zero_is_no_number_to_print() -> None:
    assert fixed(-0.001, 2) == "0.00"
    assert fixed(-0.001, 2, signed=True) == "0.00"
    assert fixed(0.126, 2, signed=True) == "+0.13"


def test_csv_has_the_promised_columns_and_order(home: Path) -> None:
    text = typeset.as_csv(rows_of(home))
    header = "task,method,steps,metric,published,reference,reproduced,spread,seeds,deviation,verdict,digest"
    header += ",mean,sd,difference"  # in full precision
    assert text.splitlines()[0] == header
    lines = list(csv.DictReader(io.StringIO(text)))
    declared = [
        (task, entry[0], name) for task in tree.TASKS for entry in tree.ENTRIES for name in ("fd", "fd-heldout")
    ]
    assert [(line["task"], line["method"], line["metric"]) for line in lines] == declared
    first = lines[2]
    assert first["method"] == "sid-1.2"
    assert (first["reference"], first["reproduced"], first["spread"]) == ("2.46", "2.41", "0.220")
    assert (first["seeds"], first["deviation"], first["verdict"]) == ("0 1 2", "-0.050", "reproduced")
    for rounded, precise in (("reproduced", "mean"), ("spread", "sd"), ("deviation", "difference")):
        digits = len(first[rounded].partition(".")[2])
        assert f"{float(first[precise]):.{digits}f}" == first[rounded]
    assert len(first["sd"]) > len(first["spread"])


def test_equal_runs_give_equal_bytes_whatever_they_cost(home: Path, tmp_path: Path) -> None:
    other = tree.write(tmp_path / "again")
    for file in other.rglob("record.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"seconds": 9999.0, "device": "another"}))
    one, two = rows_of(home), rows_of(other)
    assert typeset.as_csv(one) == typeset.as_csv(two)
    assert typeset.as_markdown("t", one) == typeset.as_markdown("t", two)
    assert typeset.as_latex("t", one) == typeset.as_latex("t", two)


def test_what_is_missing_is_explained_and_gets_no_verdict(home: Path) -> None:
    base = home / "runs" / "digits-cond"
    shutil.rmtree(base / "sim")
    shutil.rmtree(base / "sid-1.0" / "1")
    (base / "dmd" / "0" / "scores.json").write_text("{half a")
    outdated = base / "teacher" / "2" / "scores.json"
    outdated.write_text(json.dumps(json.loads(outdated.read_text()) | {"digest": "0" * 12}))
    unscored = base / "untrained" / "0" / "scores.json"
    scores = json.loads(unscored.read_text())
    del scores["metrics"]["fd"]
    unscored.write_text(json.dumps(scores | {"unavailable": {"fd": "its weights are not here"}}))

    rows = rows_of(home)
    texts = {entry: cell(rows, "digits-cond", entry).judgement.text for entry, *_ in tree.ENTRIES}
    assert texts["sim"] == "not run"
    assert texts["sid-1.0"] == "incomplete: seed 1 not run"
    assert texts["dmd"] == "unreadable: seed 0: scores.json is no valid JSON"
    assert texts["teacher"] == "outdated: seed 2 made by another recipe than the suite now states"
    assert texts["untrained"] == "unavailable: its weights are not here"
    assert texts["evil"] == "not compared"
    assert texts["heldout"] == "passed: agrees with the reference"
    assert len(rows) == len(tree.TASKS) * len(tree.ENTRIES) * len(tree.COLUMNS)
    assert cell(rows, "digits-cond", "sid-1.0").texts()["seeds"] == "0 2"
    assert cell(rows, "digits-cond", "untrained", "fd-heldout").judgement.word == PASSED


def test_a_run_in_the_wrong_folder_is_not_trusted(home: Path) -> None:
    shutil.copytree(home / "runs/digits-cond/sim/0", home / "runs/digits-cond/sim/7")
    run = runs.read_runs(home)[("digits-cond", "sim", 7)]
    assert run.fault == "scores.json is of digits-cond/sim/0"


def test_folders_are_joined_and_contradictions_named(home: Path, tmp_path: Path) -> None:
    other = tree.write(tmp_path / "b")
    shutil.rmtree(home / "runs" / "digits-cond" / "sid-1.2" / "1")
    assert runs.merge([home, other]).keys() == runs.read_runs(other).keys()
    changed = other / "runs/digits-cond/dmd/0/scores.json"
    scores = json.loads(changed.read_text())
    scores["metrics"]["fd"]["value"] += 1
    changed.write_text(json.dumps(scores))
    with pytest.raises(Fault, match="different results of one run"):
        runs.merge([home, other])


def test_latex_is_escaped_and_whole(home: Path) -> None:
    text = typeset.as_latex("A & B_1", rows_of(home))
    assert r"\caption{A \& B\_1: digits, conditional. Mean $\pm$ sample standard deviation over seeds 0, 1, 2.}" in text
    assert text.count(r"\begin{table}") == len(tree.TASKS) and "Published" not in text  # no column that stays empty
    assert r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} \& 100 \% \$x\$ of\_it" in text
    assert "2.41 $\\pm$ 0.22" in text and r"$-0.050$ ($-2$ \%)" in text
    columns = text.count("&", text.index("Method"), text.index(r" \\", text.index("Method")))
    body = [line for line in text.splitlines() if line.startswith(("SiD", "teacher", "DMD"))]
    assert body and all(line.replace(r"\&", "").count("&") == columns for line in body)
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")


ODD = ["[x] first", "*star", "α=1.2 ≥ β_κ ± 3 × 2 → … ~ ^ \\ {a} #1 $", "“quoted” – — −5", "a_b & <script>", "}{%"]


@pytest.mark.parametrize("label", ODD)
def test_latex_survives_every_name(home: Path, label: str) -> None:
    rows = [dataclasses.replace(row, line=dataclasses.replace(row.line, label=label)) for row in rows_of(home)]
    bare = re.sub(r"\\[{}\\]", "", typeset.as_latex(label, rows))
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0 and bare.count("$") % 2 == bare.count(r"\$") % 2
    assert not re.search(r"\\\\\n[\[*]", typeset.as_latex(label, rows))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles(home: Path, tmp_path: Path) -> None:
    known = subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, text=True)
    if known.returncode:
        pytest.skip("this LaTeX has no booktabs")
    rows = [
        dataclasses.replace(row, line=dataclasses.replace(row.line, label=ODD[place % len(ODD)]))
        for place, row in enumerate(rows_of(home))
    ]
    text = typeset.as_latex(ODD[4], rows)
    (tmp_path / "t.tex").write_text(
        f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    )
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Float too large" not in done.stdout


def test_markdown_cells_stay_cells(home: Path) -> None:
    text = typeset.as_markdown("T", rows_of(home))
    assert "<script>" not in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in table} == {len(typeset.SHOWN)}, (
        "no column of published numbers: no paper prints any"
    )


RULE = "minimum of 3 trials"


def noted(home: Path) -> list[table_rows.Row]:
    """A tree in which some runs note something, and one has the value of another paper's rule."""
    note = "noise is drawn by <b>sample index</b>"
    for file in (home / "runs" / "digits-cond").glob("*/*/record.json"):
        notes = [note] if file.parts[-3] != "sim" else [note, "pictures of 8 pixels | as published"]
        file.write_text(json.dumps(json.loads(file.read_text()) | {"notes": notes[: 1 + (file.parts[-2] == "2")]}))
    for file in (home / "runs" / "digits-cond" / "sid-1.2").glob("*/scores.json"):
        scores = json.loads(file.read_text())
        scores["metrics"]["fd"]["details"] = {
            "trials": [2.5, 2.4, 2.3],
            "rule": "mean",
            "edm_minimum": 2.2,
            "part": 1.0,
        }
        file.write_text(json.dumps(scores))
    layout = tree.layout()
    tasks = tuple(dataclasses.replace(task, alternatives={"edm_minimum": RULE}) for task in layout.tasks)
    return table_rows.build(dataclasses.replace(layout, tasks=tasks), runs.merge([home]), {}, tree.reference())


def test_notes_and_other_papers_rules_stand_under_their_table_and_not_in_the_csv(home: Path, tmp_path: Path) -> None:
    before = rows_of(tree.write(tmp_path / "plain"))
    assert not any(row.notes for row in before) and "Notes" not in typeset.as_markdown("t", before)
    rows = noted(home)
    assert typeset.as_csv(rows) == typeset.as_csv(before)
    group = [row for row in rows if (row.task.name, row.column.name) == ("digits-cond", "fd")]
    assert table_rows.table_notes(group) == [
        "noise is drawn by <b>sample index</b>",  # of all rows, so without their labels
        f"SiD, alpha 1.2: 2.20 by edm_minimum ({RULE})",
        "SIM: pictures of 8 pixels | as published (seed 2)",
    ]
    text = typeset.as_markdown("t", rows)
    assert "- noise is drawn by &lt;b&gt;sample index&lt;/b&gt;\n" in text
    assert f"- SiD, alpha 1.2: 2.20 by edm\\_minimum ({RULE})\n" in text
    assert text.count("\nNotes:\n") == 2, "one for each table of the task whose runs note something"
    assert "Notes" not in typeset.as_latex("t", rows)


def test_a_suite_reports_the_rules_that_its_protocol_names() -> None:
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.plan import Plan
    from benchmarks.tables.layout import layout_of

    tasks = {task.name: task.alternatives for task in layout_of(Plan(load_suite("cifar10"))).tasks}
    assert tasks["cifar10-uncond"] == {"edm-minimum-of-three": RULE, "one-trial": "the first trial"}


def test_a_published_number_goes_before_the_reference(home: Path) -> None:
    printed = Published(
        task="digits-cond",
        entry="sid-1.2",
        metric="fd",
        value=2.4,
        decimals=1,
        method="SiD",
        paper="P",
        table="Table 1",
        protocol="as the suite",
        source="somewhere",
        source_kind="secondary_note",
    )
    rows = table_rows.build(
        tree.layout(), runs.merge([home]), {("digits-cond", "sid-1.2", "fd"): printed}, tree.reference()
    )
    row = cell(rows, "digits-cond", "sid-1.2")
    assert row.texts()["published"] == "2.4"
    assert row.judgement.text == "close: agrees with a number that is not in the authors' own words"


def test_a_single_seed_beside_the_reference_shows_its_deviation_and_gets_no_verdict(home: Path) -> None:
    layout = tree.layout()
    lines = tuple(dataclasses.replace(line, digests={0: line.digests[0]}) for line in layout.tasks[0].lines)
    single = dataclasses.replace(layout, tasks=(dataclasses.replace(layout.tasks[0], lines=lines),))
    rows = table_rows.build(
        single,
        runs.merge([home]),
        {},
        {name: dataclasses.replace(target, own=True) for name, target in tree.reference().items()},
    )
    row = cell(rows, "digits-cond", "sid-1.0")
    assert (row.judgement.text, row.texts()["deviation"]) == ("one seed: no verdict", "-0.150")
    assert tally(rows, of_controls=False) == [(ONE_SEED, 8), (NO_TARGET, 2)]
    assert tally(rows, of_controls=True) == [(PASSED, 8)]
    assert "10 cells of methods: 8 one seed, 2 not compared. 8 checks of controls: 8 passed." in typeset.as_markdown(
        "t", rows
    )


@pytest.mark.parametrize(
    ("entry", "final", "text"),
    [
        ("teacher", 30.0, "failed: not better than the untrained network on seeds 0, 1, 2"),
        ("teacher", 2.0, "passed: better than the untrained network on every seed"),
        ("untrained", 2.0, "failed: not worse than the best method, SiD, alpha 1.2 on seeds 0, 1, 2"),
        ("critic-frozen", 1.0, "failed: not worse than sid-1.2 on seeds 0, 1, 2"),
        ("critic-frozen", math.nan, "passed: worse than sid-1.2 on every seed"),
        ("critic-never", 2.0, "failed: differs from the untrained network on seeds 0, 1, 2"),
        ("critic-never", 14.3, "passed: equals the untrained network"),
        ("heldout", 1.3, "failed: differs from the reference by more than 0.104"),
        ("heldout", 1.03, "passed: agrees with the reference"),
    ],
)
def test_controls_pass_or_fail_by_their_own_rules(home: Path, entry: str, final: float, text: str) -> None:
    layout = tree.layout()
    task = layout.tasks[0]
    lines = {line.entry: line for line in task.lines}
    never = dataclasses.replace(lines["critic-frozen"], entry="critic-never", critic_never=True)
    lines["critic-never"] = dataclasses.replace(
        never, digests={seed: tree.digest(task.name, "critic-never", seed) for seed in tree.SEEDS}
    )
    folder = home / "runs" / task.name / entry
    shutil.rmtree(folder, ignore_errors=True)
    kind = lines[entry].kind
    for seed in tree.seeds_of(kind):
        same = 0.8 * (seed - 1) if entry == "critic-never" else 0.0  # the untrained network's own spread
        tree.write_run(home, task.name, entry, entry, kind, 1, seed, final + same)
    made = dataclasses.replace(layout, tasks=(dataclasses.replace(task, lines=tuple(lines.values())),))
    rows = table_rows.build(made, runs.merge([home]), {}, tree.reference())
    assert cell(rows, task.name, entry).judgement.text == text


def test_a_check_compares_with_nothing_that_is_outdated(home: Path) -> None:
    for file in (home / "runs" / "digits-cond" / "untrained").glob("*/scores.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"digest": "0" * 12}))
    assert cell(rows_of(home), "digits-cond", "teacher").judgement.word == NO_TARGET
    assert cell(rows_of(home), "digits-uncond", "teacher").judgement.word == PASSED


def test_a_shipped_ablation_knows_what_it_is_the_ablation_of() -> None:
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.plan import Plan
    from benchmarks.tables.layout import layout_of

    for task in layout_of(Plan(load_suite("mini"))).tasks:
        for line in task.lines:
            if line.kind == "ablation":
                assert line.counterpart == "sid-1.2" and line.critic_never == (line.entry == "critic-never")


def test_the_csv_holds_full_precision_after_its_rounded_columns(home: Path) -> None:
    rows = rows_of(home)
    lines = list(csv.DictReader(io.StringIO(typeset.as_csv(rows))))
    assert tuple(lines[0]) == (*table_rows.HEADER, *table_rows.EXACT)
    for row, line in zip(rows, lines, strict=True):
        assert {name: line[name] for name in table_rows.HEADER} == row.texts(), "the rounded columns stay as they are"
        numbers = (row.mean, row.spread, row.judgement.deviation)
        assert [float(line[name]) if line[name] else None for name in table_rows.EXACT] == list(numbers)


def test_the_markdown_begins_with_a_summary_and_has_no_empty_column(home: Path) -> None:
    text = typeset.as_markdown("T", rows_of(home))
    summary = text[: text.index("## ")]
    assert "20 cells of methods: 8 reproduced, 4 close, 4 off, 4 not compared." in summary
    assert (
        "Half of these cells deviate by at most" in summary
        and "- digits, conditional: SiD, alpha 1.2 is best" in summary
    )
    heads = [line for line in text.splitlines() if line.startswith("| method")]
    assert len(heads) == len(tree.TASKS) * len(tree.COLUMNS) and not any("published" in head for head in heads)
    assert not any(set(column) <= set(" |") for column in heads)


def test_reference_is_written_whole_and_read_back(home: Path, tmp_path: Path) -> None:
    rows = table_rows.build(tree.layout(), runs.merge([home]))
    file = committed.write("mini", rows, tmp_path / "reference")
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert tuple(lines[0]) == table_rows.HEADER
    assert {line["verdict"] for line in lines} == {"reference"} and not any(line["reference"] for line in lines)
    targets = committed.read("mini", tmp_path / "reference")
    assert targets["digits-cond", "sid-1.2", "fd"] == Target(2.41, 2, own=True)
    again = table_rows.build(tree.layout(), runs.merge([home]), {}, targets)
    assert all(row.judgement.word == (PASSED if row.control else REPRODUCED) for row in again)
    assert all(row.judgement.deviation is not None for row in again), "a check shows its deviation, too"

    shutil.rmtree(home / "runs" / "digits-cond" / "sim" / "1")
    with pytest.raises(Fault, match="digits-cond/sim: incomplete: seed 1 not run"):
        committed.write("mini", table_rows.build(tree.layout(), runs.merge([home])), tmp_path / "reference")
    assert committed.read("other", tmp_path / "reference") == {}
    file.write_text("task,method\nx,y\n")
    with pytest.raises(Fault, match="line 2"):
        committed.read("mini", tmp_path / "reference")


def test_tables_and_pages_need_no_torch() -> None:
    code = (
        "import sys, benchmarks.tables.gather, benchmarks.tables.typeset, benchmarks.tables.compare\n"
        "import benchmarks.report.page\n"
        "import benchmarks.verbs.table, benchmarks.verbs.report, benchmarks.verbs.compare\n"
        "from benchmarks.suite import components\n"
        "components.methods(), components.metrics(), components.extractors()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

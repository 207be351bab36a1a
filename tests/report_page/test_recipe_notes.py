"""Whose the settings of a row are, beside its verdict and in the page's section on sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import page
from benchmarks.suite.load import load_suite
from benchmarks.tables.recipes import Deviation, RecipeNote, notes
from tests.report_page import full

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full.write(tmp_path_factory.mktemp("results"))


def rendered(home: Path, recipe_notes: dict[tuple[str, str], RecipeNote]) -> str:
    return page.render(full.layout(), full.rows(home), page.Extras(notes=recipe_notes))


def test_words_stand_beside_the_verdict_and_deviations_in_a_section(home: Path) -> None:
    deviation = Deviation("options.lr", "1e-06", f"a script {EVIL}", "1e-05", "because")
    row = (full.TASK, "lsg-1.5")
    words = "settings: 7 of the paper's words, 3 of the code, 4 ours; 1 deviates"
    text = rendered(home, {row: RecipeNote(f"made/{full.TASK}/lsg-1.5", words, (deviation,), ())})
    shown = words.replace("'", "&#39;")
    assert text.count(f'<a href="#settings-{full.TASK}-lsg-1.5">{shown}</a>') == 1  # once a row, not once a metric
    assert text.count(f'id="settings-{full.TASK}-lsg-1.5"') == 1
    assert f"sidbench recipe made/{full.TASK}/lsg-1.5" in text
    assert "options.lr: 1e-05 instead of 1e-06 (a script &lt;script&gt;" in text and EVIL not in text
    assert "not as its sheet says" not in text and "No setting deviates" not in text


def test_a_suite_that_runs_something_else_says_so(home: Path) -> None:
    note = RecipeNote("made/row", "settings: 4 ours", (), (f"budget.batch: 1 runs, where the sheet has {EVIL}",))
    text = rendered(home, {(full.TASK, "lsg-1.5"): note})
    assert text.count("<strong>1 not as its sheet says</strong>") == 1
    assert "where the sheet has &lt;script&gt;" in text and EVIL not in text
    assert "No setting deviates from its source." in text


def test_a_page_without_sheets_has_no_such_section(home: Path) -> None:
    assert "Sources of the settings" not in rendered(home, {})
    assert notes(load_suite("mini")) == {}


def test_every_trained_row_of_the_papers_has_a_note() -> None:
    suite = load_suite("paper")
    assert set(notes(suite)) == {(task, entry) for task, entry, row in suite.rows if row.method}

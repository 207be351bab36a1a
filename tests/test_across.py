"""The table over several tasks: its faults, its cells in Markdown and on the page, silence where none is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import page
from benchmarks.suite.checks import suite_faults
from benchmarks.suite.config import AcrossSection, Suite
from benchmarks.suite.digests import tabled
from benchmarks.suite.load import load_suite
from benchmarks.tables import rows as table_rows
from benchmarks.tables import runs, typeset
from benchmarks.tables.across import across
from tests import results_tree as tree

TASKS = ("digits-cond", "digits-uncond")


def asked(**rows: tuple[str, ...]) -> Suite:
    section = AcrossSection(title="Both | of them", tasks=TASKS, rows=rows)
    return load_suite("mini").model_copy(update={"across": section})


@pytest.fixture
def rows(tmp_path: Path) -> list[table_rows.Row]:
    return table_rows.build(tree.layout(), runs.merge([tree.write(tmp_path)]))


def test_the_cells_are_those_of_the_tasks_own_tables(rows: list[table_rows.Row]) -> None:
    table = across(asked(SIM=("sim", "sim"), SiD=("sid-1.0", "sid-1.2")), rows)
    assert table is not None and [side.process for side in table.sides] == ["EDM", "EDM"]
    cells = {(row.task.name, row.line.entry, row.column.name): row for row in rows}
    expected = [cells["digits-cond", "sid-1.0", "fd"], cells["digits-uncond", "sid-1.2", "fd"]]
    assert [cell for _, line in table.lines[1:] for cell in line] == expected
    text = typeset.as_markdown("T", rows, table)
    lines = text.partition("Both \\| of them")[2].splitlines()
    line = next(line for line in lines if line.startswith("| SiD"))
    for row in expected:
        assert f"{row.texts()['reproduced']} ± {row.spread_shown}" in line
    assert line.count("|") == 4
    shown = page.render(tree.layout(), rows, page.Extras(across=table))
    assert "<strong>Both | of them</strong>" in shown


def test_a_row_without_runs_says_so(tmp_path: Path) -> None:
    table = across(asked(SIM=("sim", "sim")), table_rows.build(tree.layout(), {}))
    assert table is not None and table.texts == [("SIM", ("not run", "not run"))]


def test_who_asks_for_none_gets_none(rows: list[table_rows.Row]) -> None:
    suite = load_suite("mini")
    assert across(suite, rows) is None
    assert "across" not in tabled(suite), "older tables keep their digests"
    assert typeset.as_markdown("T", rows, None) == typeset.as_markdown("T", rows)


def test_faults_name_the_nearest_entry_and_count() -> None:
    suite = asked(SIM=("simm", "sim"), SiD=("sid-1.0",))
    said = [what for at, what in suite_faults(suite) if at[0] == "across"]
    assert len(said) == 2
    assert "unknown entry on digits-cond 'simm'; did you mean 'sim'?" in said
    assert "has 1 entries for 2 tasks: it needs one each" in said
    section = AcrossSection(title="T", tasks=("digits-con", "shapes"), rows={"SIM": ("sim", "sid-lsg-k1")})
    lost = suite.model_copy(update={"across": section})
    said = [what for at, what in suite_faults(lost) if at[0] == "across"]
    assert said == ["unknown task 'digits-con'; did you mean 'digits-cond'?"]


def test_the_full_miniature_compares_three_kinds_of_teachers() -> None:
    from benchmarks.suite.plan import Plan
    from benchmarks.tables.layout import layout_of

    suite = load_suite("mini-full")
    table = across(suite, table_rows.build(layout_of(Plan(suite)), {}))
    assert table is not None and [side.process for side in table.sides] == ["EDM", "VP", "flow matching"]
    methods = [
        {suite.entries_of(cell.task.name)[cell.line.entry].method for cell in cells if cell} for _, cells in table.lines
    ]
    assert methods == [{None}, {None}, {"sid", "sid-lsg"}, {"sim"}, {"dmd2"}]

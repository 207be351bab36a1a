"""The papers' tables in the papers' shape: order, bold, rules; printed beside reproduced, or why one is missing."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.report import page
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from benchmarks.tables import filled, paper_text, papers, runs
from benchmarks.tables.layout import layout_of
from benchmarks.tables.rows import Row, build
from tests.test_published import COMMON, written

NAMED = {table.name: table for table in papers.tables()}
HOSTILE = "<script>alert(1)</script> & 100 % $x$ of_it | `b`"


def made_run(seed: int, value: float, unavailable: str = "") -> runs.Run:
    metrics = {} if unavailable else {"fid": {"value": value, "details": {}}}
    scores = {"digest": "x", "metrics": metrics, "unavailable": {"fid": unavailable} if unavailable else {}}
    return runs.Run(Path("x"), "sd15-coco", "sid-lsg-1.5-long", seed, scores)


def rows(made: dict[runs.Key, runs.Run] | None = None, suite: str = "sd15") -> list[Row]:
    return build(layout_of(Plan(load_suite(suite))), made or {}, papers.published())


def shown(name: str, cells: list[Row] | None = None) -> filled.FilledTable:
    tables = filled.of_suite([NAMED[name]], load_suite("paper"), cells if cells is not None else rows(suite="paper"))
    return tables[0]


@pytest.fixture(autouse=True)
def all_data_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled, "missing_data", lambda suite, task: [])


def test_markdown_has_the_papers_rows_columns_and_bold() -> None:
    lines = [line for line in paper_text.as_markdown(shown("dmd2-table-2")).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.replace(r"\|", "/").strip("|").split("|")] for line in lines]
    assert cells[0] == ["Method", "# Fwd Pass ↓", "FID ↓", "Patch FID ↓", "CLIP ↑"]
    assert [row[0] for row in cells[2:]] == [
        *("LCM-SDXL", "", "SDXL-Turbo", "", "SDXL-Lightning", "", "DMD2", ""),
        *("SDXL Teacher, cfg=6", "SDXL Teacher, cfg=8"),
    ]
    assert [row[1] for row in cells[2:]] == ["1", "4", "1", "4", "1", "4", "1", "4", "100", "100"]
    bold = [cell.split(" / ")[0] for row in cells[2:] for cell in row if cell.startswith("**")]
    assert bold == ["**0.337**", "**19.01**", "**20.86**"], "the best of the distilled, not of the teachers"
    assert cells[2][2] == "81.62" and cells[3][2] == "22.16 / not run"


def test_the_readme_table_of_sid_lsg_marks_the_best_of_all_rows() -> None:
    table = shown("sid-lsg-table-readme", rows({(its.task, its.entry, its.seed): its for its in [made_run(0, 8.1987)]}))
    latex = paper_text.as_latex(table)
    assert latex.count(r"\textbf") == 2 and r"\textbf{8.15} & $|$ 8.20" in latex and r"\textbf{0.322}" in latex
    assert latex.count(r"\midrule") == 2 and latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
    body = latex.split(r"\midrule")
    assert body[1].lstrip().startswith("Stable Diffusion 1.5 & 1.5 & 8.71")
    assert body[2].lstrip().startswith("Stable Diffusion 2.1-base & 1.5 & 9.52")
    assert " & 2 & 9.56" in body[1], "the teacher's name is printed once"
    assert table.counts == (18, 0, 1)


def test_ablations_show_check_marks_and_a_page_long_table_is_set_in_halves() -> None:
    latex = paper_text.as_latex(shown("dmd2-table-3"))
    assert r"$\checkmark$ & $\checkmark$ & $\checkmark$ & $\checkmark$ & \textbf{1.51}" in latex
    assert paper_text.as_latex(shown("scm-table-1")).count(r"\begin{tabular}") == 2


def test_an_empty_cell_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def cell(name: str, row: int, column: int, group: int = 0) -> filled.FilledCell:
        value = shown(name).groups[group].rows[row][column]
        assert isinstance(value, filled.FilledCell)
        return value

    assert cell("sid-table-1-4", 0, 2, group=2).printed == "not readable"
    assert cell("sid-table-1-4", 0, 2).reproduced == "not run"
    assert cell("dmd2-table-5", 0, 4) == filled.FilledCell("27.5")
    reason = {("sd15-coco", "sid-lsg-1.5-long", 0): made_run(0, 0, "the weights x are missing")}
    table = shown("sid-lsg-table-readme", rows(reason))
    assert table.groups[0].rows[1][2] == filled.FilledCell("8.15", "unavailable", best=True)
    other = shown("sid-lsg-table-readme", rows(suite="cifar10")).groups[0].rows[0][2]
    assert isinstance(other, filled.FilledCell) and other.reproduced == "not in this suite"
    monkeypatch.setattr(filled, "missing_data", lambda suite, task: ["cifar10"])
    assert cell("sid-table-1-4", 0, 2).reproduced == "needs cifar10"


def test_missing_data_names_the_sets_that_are_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmarks.data.base.find_data", lambda name, file, given: None)
    assert filled.missing_data(load_suite("cifar10"), "cifar10-uncond") == ["cifar10"]
    assert filled.missing_data(load_suite("mini"), "digits-cond") == []


def test_every_table_is_made_by_the_papers_suite_and_csv_is_whole() -> None:
    made = filled.of_suite(papers.tables(), load_suite("paper"), rows(suite="paper"))
    assert {table.table.name for table in made} == set(NAMED)
    for table in made:
        header, *lines = csv.reader(io.StringIO(paper_text.as_csv(table)))
        numbers = sum(column.metric is not None for _, column in table.columns)
        assert len(header) >= len(table.columns) + numbers and {len(line) for line in lines} == {len(header)}
        assert len(lines) == sum(len(group.rows) for group in table.groups)
        latex = paper_text.as_latex(table)
        widths = {
            line.count(" & ") for line in latex.splitlines() if line.endswith(r"\\") and "multicolumn" not in line
        }
        assert len(widths) == 1, (table.table.name, widths)
        assert table.notes or not table.counts[0], "it says where its numbers were read"


def test_hostile_texts_are_escaped(tmp_path: Path) -> None:
    file = written(tmp_path, f"entry: sid-lsg-2, method: '{HOSTILE}', fid: \"1.5\", note: '{HOSTILE}'",
                   common=COMMON.replace("task: a", "task: sd15-coco") + f"caption: '{HOSTILE}'\n")  # fmt: skip
    (printed,) = papers.tables(file.parents[1])
    (table,) = filled.of_suite([printed], load_suite("sd15"), rows())
    html, markdown, latex = (paper_text.written(table)[suffix] for suffix in (".html", ".md", ".tex"))
    assert "<script" not in html and "&lt;script&gt;" in html
    assert "<script" not in markdown and r"\`b\`" in markdown
    assert r"100 \% \$x\$ of\_it \textbar{} `b`" in latex
    extras = page.Extras(papers=[table])
    layout = layout_of(Plan(load_suite("sd15")))
    text = page.render(layout, rows(), extras)
    section = text[text.index('<section id="papers"') :]
    assert "<script>alert" not in section and "P: 1 table, 1 numbers, 0 open, 0 reproduced" in section


def test_the_verb_writes_them_without_any_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["--results", str(tmp_path), "table", "cifar10", "--paper"]) == 0
    folder = tmp_path / "cifar10" / "tables" / "papers"
    assert "tables of papers" in capsys.readouterr().out
    assert {file.suffix for file in folder.glob("sid-table-1-4*")} == set(paper_text.SUFFIXES)
    assert not (folder / "dmd2-table-2.md").exists(), "SDXL is no task of this suite"
    assert "[SiD (arXiv 2404.04057), Tables 1 to 4](sid-table-1-4.md)" in (folder / "index.md").read_text()
    assert not (folder.parent / "verdict.md").exists(), "no run, no verdict"
    assert main(["--results", str(tmp_path), "table", "cifar10"]) == 2


def test_a_plan_declares_them_for_suites_of_papers_and_reads_none() -> None:
    papers.sheets.cache_clear()
    (job,) = load_plan("paper").of("table")
    assert job.params["papers"] and job.outputs[-1].endswith("paper/tables/papers/index.md")
    (job,) = load_plan("mini").of("table")
    assert not job.params["papers"] and not any("papers" in path for path in job.outputs)
    assert papers.sheets.cache_info().currsize == 0, "planning reads no table"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")
def test_latex_compiles_without_a_warning(tmp_path: Path) -> None:
    made = filled.of_suite(papers.tables(), load_suite("paper"), rows(suite="paper"))
    pages = "\n\\clearpage\n".join(paper_text.as_latex(table) for table in made)
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{amssymb,booktabs,graphicx}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{pages}\n\\end{{document}}\n", encoding="utf-8")
    words = ["pdflatex", "-interaction=nonstopmode", "all.tex"]
    made_by = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert made_by.returncode == 0, made_by.stdout[-2000:]
    assert not re.findall(r".*(?:Warning|Overfull|Underfull).*", made_by.stdout)

"""Printed numbers are read strictly, one a cell; faults are reported together, cells without a number are listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.tables import published as printed
from benchmarks.tables.published import AUTHORS, KINDS, Published, every, lines, published
from benchmarks.tables.rows import _target
from benchmarks.tables.verdict import CLOSE, REPRODUCED, judge
from benchmarks.verbs import published as verb
from sid.fault import Fault

COMMON = "paper: P, table: T, protocol: R, source: S, source_kind: author_repo, method: M"
ROW = "task: a, entry: b, metric: fid, value: 1.5, decimals: 2"


def written(folder: Path, *rows: str, name: str = "x.yaml") -> Path:
    file = folder / name
    file.write_text(f"common: {{{COMMON}}}\nrows:\n" + "".join(f"  - {{{row}}}\n" for row in rows))
    return file


def test_the_shipped_rows_are_sound() -> None:
    rows = every()
    assert len(rows) > 300 and {row.source_kind for row in rows} <= set(KINDS)
    assert published()["cifar10-uncond", "sid-1.2", "fid"].value == 1.923
    assert published()["sd15-coco", "sid-lsg-sd15-1.5", "fid"] is published()["sd15-coco", "sid-lsg-1.5-long", "fid"]
    assert {row.entry for row in lines("sdxl-10k")} >= {"sdxl-turbo-4step", "sida2-zero-cfg-4"}
    # a source must be something that a reader can look up
    assert not [row for row in rows if "find_string" in row.words or "read_file" in row.words]


def test_released_generators_are_called_as_their_descriptions() -> None:
    from benchmarks.suite.released import released

    named = {entry for row in every() if row.role == "cell" for _, entry, _ in row.cells if entry.endswith("step")}
    assert named and named <= set(released())


def test_cells_are_called_as_the_columns_of_the_protocols() -> None:
    from benchmarks.suite import files

    columns = {
        name for protocol in files.names("protocol") for name in files.resolve("protocol", protocol).content["metrics"]
    }
    named = {row.metric for row in every() if row.role == "cell"}
    assert named and named <= columns, f"no protocol has {named - columns}"


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_authors_own_words_can_give_reproduced(kind: str) -> None:
    row = Published(
        task="a", entry="b", metric="fid", value=2.41, decimals=2, method="M", paper="P", table="T", protocol="R",
        source="S", source_kind=kind,
    )  # fmt: skip
    word = judge({0: 2.41}, _target(row, None), 0.0).word
    assert word == (REPRODUCED if kind in AUTHORS else CLOSE)


def test_rows_begin_from_what_is_common(tmp_path: Path) -> None:
    written(
        tmp_path,
        ROW,
        f"{ROW}, role: again, source_kind: secondary_note",
        "task: a, entry: c, also: [d], metric: is, value: 9, decimals: 0",
    )
    assert [row.authors for row in every(tmp_path)] == [True, False, True]
    assert set(published(tmp_path)) == {("a", "b", "fid"), ("a", "c", "is"), ("a", "d", "is")}


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([ROW.replace("decimals: 2", "decimals: 0")], "rows.0: 1.5 has more than 0 decimals"),
        ([ROW, ROW], "a/b/fid is given twice"),
        ([ROW, ROW.replace("entry: b", "entry: c, also: [b]")], "a/b/fid is given twice"),
        ([f"{ROW}, role: again"], "a/b/fid comes again, and no row of role: cell gives it"),
        ([f"{ROW}, role: line, also: [c]"], "compared with no entry"),
        ([f"{ROW}, source_kind: memory"], "rows.0.source_kind: unknown value 'memory'"),
        ([ROW.replace("value: 1.5", "value: .nan")], "rows.0.value: must"),
        ([f"{ROW}, arxiv: 2404.04057"], "rows.0.arxiv: must be text"),
        ([f"{ROW}, tabel: T"], "unknown key 'tabel'; did you mean 'table'?"),
        (["entry: b, metric: fid"], "rows.0.task: is missing"),
    ],
)
def test_what_is_wrong_is_reported(tmp_path: Path, rows: list[str], sentence: str) -> None:
    written(tmp_path, *rows)
    with pytest.raises(Fault) as fault:
        every(tmp_path)
    assert any(sentence in fault_sentence for fault_sentence in fault.value.sentences), fault.value.sentences


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    written(tmp_path, ROW.replace("value: 1.5, ", ""), "task: c", name="x.yaml")
    (tmp_path / "y.yaml").write_text("rows: []\n")
    (tmp_path / "z.yaml").write_text("rows: [\n")
    with pytest.raises(Fault) as fault:
        published(tmp_path)
    output = "\n".join(fault.value.sentences)
    for part in (
        "rows.0.value: is missing",
        "rows.1.metric: is missing",
        "y.yaml: rows: must not be empty",
        "no valid YAML",
    ):
        assert part in output


def test_a_users_file_is_checked_beside_the_shipped_ones(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good = written(tmp_path, ROW.replace("task: a", "task: my-task"))
    assert main(["published", "--check", str(good)]) == 0
    assert "1 rows, nothing wrong" in capsys.readouterr().out
    bad = written(
        tmp_path,
        ROW.replace("value: 1.5", "value: one"),
        "task: cifar10-uncond, entry: sid-1.2, metric: fid, value: 1.9, decimals: 1",
    )
    assert main(["published", "--check", str(bad)]) == 2
    output = capsys.readouterr().err
    assert "rows.0.value: must be a number" in output and "cifar10-uncond/sid-1.2/fid stands in" in output
    assert main(["published", "--check", str(tmp_path / "none.yaml")]) == 2


def test_holes_numbers_and_idle_rows_of_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [("t", entry, "fid") for entry in ("teacher", "sid", "dmd")]
    monkeypatch.setattr(verb, "cells", lambda suite: wanted)
    row = "metric: fid, value: 1.5, decimals: 2, task: t"
    written(
        tmp_path,
        f"{row}, entry: sid",
        f"{row}, entry: dmd, source_kind: secondary_note",
        f"{row}, entry: sdi",
        f"{row}, entry: x, role: line",
    )
    cells, beside = published(tmp_path), lines("t", tmp_path)
    monkeypatch.setattr(printed, "published", lambda: cells)
    monkeypatch.setattr(printed, "lines", lambda task: beside)
    assert main(["published", "--missing", "any"]) == 0
    output = capsys.readouterr().out
    assert "any: 1 of 3 cells have no printed number, 1 not the authors' own" in output
    assert "t/teacher/fid: no number" in output and "t/dmd/fid: 1.50, someone's note of the paper's number" in output
    assert main(["published", "any"]) == 0
    output = capsys.readouterr().out
    assert "2 of 3 cells have a printed number" in output
    assert output.index("beside the tables") < output.index("t/x/fid") < output.index("with no cell in this suite")
    assert output.index("with no cell in this suite") < output.index("t/sdi/fid")


def test_controls_of_our_own_are_no_holes() -> None:
    cells = verb.cells("mini")
    assert ("digits-cond", "teacher", "fd") in cells
    assert not [cell for cell in cells if cell[1] in ("untrained", "heldout")]


def test_a_file_to_be_added_is_checked_against_the_others_and_the_suites(tmp_path: Path) -> None:
    good = "entry: sid-1.2, value: 1.9, decimals: 1"
    rows = [f"task: cifar10-uncond, metric: fid, {good}", f"task: cifar10-uncnd, metric: fid, {good}"]
    rows.append(f"task: cifar10-uncond, metric: fidd, {good}")
    _, wrong = printed.check(written(tmp_path, *rows))
    assert len(wrong) == 3 and all("x.yaml: " in sentence for sentence in wrong)
    assert any("cifar10-uncond/sid-1.2/fid stands in" in sentence and "sid-readme" in sentence for sentence in wrong), (
        wrong
    )
    assert any("unknown task 'cifar10-uncnd'; did you mean 'cifar10-uncond'?" in sentence for sentence in wrong)
    assert any("unknown metric of cifar10-uncond 'fidd'; did you mean 'fid'?" in sentence for sentence in wrong)

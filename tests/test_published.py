"""Printed tables are read strictly, one number a cell; faults come together; no value of the flat files was lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.suite import files
from benchmarks.tables import papers
from benchmarks.tables.papers import check, every, lines, published, sheets, tables
from benchmarks.tables.published import AUTHORS, KINDS, Published
from benchmarks.tables.rows import _target
from benchmarks.tables.verdict import CLOSE, REPRODUCED, judge
from benchmarks.verbs import published as verb
from sid.fault import Fault

COMMON = "paper: P\ntable: T\nprotocol: R\nsource: S\nsource_kind: author_repo\nmethod: M\ntask: a\n"
COLUMNS = "columns:\n  method: {}\n  fid: {metric: fid, better: lower}\n  is: {metric: is, better: higher}\n"
VALUES = Path(__file__).parent / "data" / "printed_values.yaml"


def written(folder: Path, *rows: str, name: str = "table-1.yaml", common: str = COMMON, columns: str = COLUMNS) -> Path:
    """A table's file as a paper's folder holds it."""
    file = folder / "p" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{common}{columns}groups:\n  - rows:\n" + "".join(f"      - {{{row}}}\n" for row in rows))
    return file


def test_the_shipped_numbers_are_sound() -> None:
    rows = every()
    assert len(rows) > 1000 and {row.source_kind for row in rows} <= set(KINDS)
    assert published()["cifar10-uncond", "sid-1.2", "fid"].value == 1.923
    assert published()["sd15-coco", "sid-lsg-sd15-1.5", "fid"] is published()["sd15-coco", "sid-lsg-1.5-long", "fid"]
    assert {row.entry for row in lines("sdxl-10k")} >= {"sdxl-turbo-4step", "sida2-zero-cfg-4"}


def test_every_value_of_the_flat_files_stands_in_one_table_or_list_of_context() -> None:
    listed = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    moved = [
        part for origin in ("published", "read_since") for parts in listed[origin].values() for part in parts.items()
    ]
    counts = {origin: sum(len(text.split()) for parts in listed[origin].values() for text in parts.values())
              for origin in ("published", "read_since")}  # fmt: skip
    assert counts == {"published": 337, "read_since": 651}
    expected: dict[str, Counter[str]] = {}
    for file, values in [*moved, *listed["entered"].items()]:
        expected.setdefault(file, Counter()).update(values.split())
    stands = {
        f"{table.file.parent.name}/{table.file.stem}": Counter(row.text for row in table.numbers) for table in sheets()
    }
    assert {file: values for file, values in stands.items() if values} == expected


def test_every_paper_has_its_tables() -> None:
    named = {table.name for table in tables()}
    wanted = {f"dmd-table-{n}" for n in range(1, 7)} | {f"dmd2-table-{n}" for n in range(1, 7)}
    wanted |= {"hyper-sd-table-2", "scm-table-1", "diff-instruct-table-1", "sid-lsg-table-readme", "sid-table-1-4"}
    assert wanted <= named
    for paper in ("sid", "sida", "sid-lsg", "sim", "few-step-sid", "sid-dit", "swiftbrush", "swiftbrush-v2"):
        assert any(name.startswith(f"{paper}-table") for name in named), paper
    assert all(table.sheet.caption for table in tables())
    context = [table for table in sheets() if table not in tables()]
    assert context and all(table.sheet.adds for table in context), "a line says what each file of context adds"


def test_shipped_files_pass_the_check_of_a_users_file() -> None:
    for name in ("dmd2/table-5", "sid-lsg/table-1-2", "sid/table-1-4", "hyper-sd/table-2", "few-step-sid/table-sdxl"):
        _, wrong = check(papers.PAPERS_DIR / f"{name}.yaml")
        assert not wrong, wrong


def test_what_is_corrected_of_the_papers() -> None:
    by_name = {table.name: table for table in tables()}
    assert by_name["scm-table-1"].sheet.paper == "sCM (Lu & Song)"
    cell = published()["pixart-sim", "sdxl-lightning-4step", "aesthetic"]
    assert (cell.paper, cell.text, cell.authors) == ("Hyper-SD", "5.63", False)
    assert published()["pixart-sim", "sim-dit", "aesthetic"].source_kind == "primary_abstract"
    (abstract,) = [row for row in every() if row.paper == "SwiftBrush v2" and row.table == "abstract"]
    assert abstract.task == "sd21-coco"
    assert published()["cifar10-cond", "dmd", "fid"].paper == "DMD"
    v2 = by_name["swiftbrush-v2-table-1-2-3-5"]
    assert "clip" not in {row.metric for row in v2.numbers}, "its tower is not that of our CLIP columns"


def test_released_generators_are_called_as_their_descriptions() -> None:
    from benchmarks.suite.released import released

    named = {entry for row in every() if row.role == "cell" for _, entry, _ in row.cells if entry.endswith("step")}
    assert named and named <= set(released())


def test_cells_are_called_as_the_columns_of_the_protocols() -> None:
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


def test_a_row_begins_from_the_table_and_a_cell_from_the_row(tmp_path: Path) -> None:
    other = 'also: [{printed: "1.5", paper: Q, table: U, source: V, source_kind: secondary_note}]'
    written(
        tmp_path,
        f'entry: b, fid: {{printed: "1.50", {other}}}, is: ~',
        'entry: b, again: true, fid: "1.50", source_kind: secondary_note',
        'entry: c, same: [d], is: "9"',
        'line: e, method: E, fid: "2", is: {printed: "3", note: n}',
        common=COMMON + 'arxiv: "2404.04057"\n',
    )
    (tmp_path / "p" / "recipe-x.yaml").write_text("no table\n")
    rows = every(tmp_path)
    assert [(row.role, row.text, row.authors) for row in rows] == [
        ("cell", "1.50", True),
        ("also", "1.5", False),
        ("again", "1.50", False),
        ("cell", "9", True),
        ("line", "2", True),
        ("line", "3", True),
    ]
    assert (rows[0].arxiv, rows[1].arxiv, rows[1].paper) == ("2404.04057", None, "Q")
    assert [row.note for row in rows[-2:]] == ["", "n"]
    assert set(published(tmp_path)) == {("a", "b", "fid"), ("a", "c", "is"), ("a", "d", "is")}
    assert [row.method for row in lines("a", tmp_path)] == ["E", "E"]
    assert [*tables(tmp_path)[0].open_cells] == [("M", "is", "not readable")]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (["entry: b, fid: 1.50"], "rows.0.fid: must be text as printed, in quotes"),
        (["entry: b, fid: {printed: 1.5}"], "rows.0.fid: must be text as printed, in quotes"),
        (['entry: b, fid: "1.5x"'], "rows.0.fid.printed: must be a number as printed"),
        (['entry: b, fid: "1.5"', 'entry: b, fid: "1.5"'], "a/b/fid is given twice"),
        (['entry: b, fid: "1.5"', 'entry: c, same: [b], fid: "1.5"'], "a/b/fid is given twice"),
        (['entry: b, again: true, fid: "1.5"'], "a/b/fid comes again, and no other row gives it"),
        (['fid: "1.5"'], "names either the `entry` that fills it or a `line`"),
        (['entry: b, line: c, fid: "1.5"'], "names either the `entry` that fills it or a `line`"),
        (['entry: b, fid: "1.5", source_kind: memory'], "rows.0.source_kind: unknown value 'memory'"),
        (['entry: b, fidd: "1.5"'], "unknown key or column 'fidd'; did you mean 'fid'?"),
        (['entry: b, fid: "1.5", again: [fdi]'], "unknown column of the row 'fdi'; did you mean 'fid'?"),
        (['entry: b, fid: {value: "1.5"}'], "rows.0.fid.value: unknown key 'value'"),
        (['entry: B!, fid: "1.5"'], "rows.0.entry: must be a name"),
        (["entry: b, fid: {also: [{printed: \"1\"}]}"], "other sources stand under a printed number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported(tmp_path: Path, rows: list[str], sentence: str) -> None:
    written(tmp_path, *rows)
    with pytest.raises(Fault) as fault:
        every(tmp_path)
    assert any(sentence in reported for reported in fault.value.sentences), fault.value.sentences


def test_a_number_needs_its_source(tmp_path: Path) -> None:
    written(tmp_path, 'entry: b, fid: "1.5", is: ~', common="paper: P\ntable: T\ntask: a\nmethod: M\n")
    with pytest.raises(Fault) as fault:
        every(tmp_path)
    assert [sentence.partition("fid.")[2] for sentence in fault.value.sentences] == [
        "protocol: is missing",
        "source: is missing",
        "source_kind: is missing",
    ]


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    written(tmp_path, "entry: b, fid: 1.5", 'task: c, fid: "1"', name="table-1.yaml")
    (tmp_path / "p" / "context-y.yaml").write_text("paper: P\ntable: T\ncolumns: {fid: {metric: fid}}\ngroups: []\n")
    (tmp_path / "p" / "table-z.yaml").write_text("groups: [\n")
    with pytest.raises(Fault) as fault:
        published(tmp_path)
    output = "\n".join(fault.value.sentences)
    for part in ("rows.0.fid: must be text", "rows.1.entry: ", "y.yaml: groups: must not be empty", "no valid YAML"):
        assert part in output


def test_a_users_file_is_checked_beside_the_shipped_ones(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    good = written(tmp_path, 'entry: b, fid: "1.5", is: ~', common=COMMON.replace("task: a", "task: my-task"))
    assert main(["published", "--check", str(good)]) == 0
    assert "1 numbers, 1 cells open, nothing wrong" in capsys.readouterr().out
    cifar = COMMON.replace("task: a", "task: cifar10-uncond")
    bad = written(tmp_path, 'entry: sid-1.2, fid: "1.9", is: 8', common=cifar)
    assert main(["published", "--check", str(bad)]) == 2
    output = capsys.readouterr().err
    assert "rows.0.is: must be text" in output and "cifar10-uncond/sid-1.2/fid stands in" in output
    assert main(["published", "--check", str(tmp_path / "none.yaml")]) == 2


def test_a_file_to_be_added_is_checked_against_the_others_and_the_suites(tmp_path: Path) -> None:
    rows = ['task: cifar10-uncond, entry: sid-1.2, fid: "1.9"', 'task: cifar10-uncnd, entry: sid-1.2, fid: "1.9"']
    rows += ['task: cifar10-uncond, entry: sid-1.22, fid: "1.9"', 'task: cifar10-uncond, entry: sid-1.0, isd: "9"']
    columns = COLUMNS + "  isd: {metric: isd}\n"
    _, wrong = check(written(tmp_path, *rows, columns=columns))
    assert len(wrong) == 4 and all("table-1.yaml: " in sentence for sentence in wrong), wrong
    for part in (
        "cifar10-uncond/sid-1.2/fid stands in benchmarks/papers/sid/table-1-4.yaml already",
        "unknown task 'cifar10-uncnd'; did you mean 'cifar10-uncond'?",
        "unknown entry of cifar10-uncond 'sid-1.22'; did you mean 'sid-1.2'?",
        "unknown metric of cifar10-uncond 'isd'; did you mean 'is'?",
    ):
        assert any(part in sentence for sentence in wrong), (part, wrong)


def test_a_filled_copy_takes_the_place_of_the_shipped_table(tmp_path: Path) -> None:
    shipped = papers.PAPERS_DIR / "sid" / "table-1-4.yaml"
    copy = tmp_path / "table-1-4.yaml"
    text = shipped.read_text(encoding="utf-8")
    copy.write_text(text.replace("entry: sid-1.0, fid: ~, precision: ~", 'entry: sid-1.0, fid: "9.99", precision: ~'))
    table, wrong = check(copy)
    assert not wrong and table is not None
    assert len([*table.open_cells]) == 10 and "9.99" in {row.text for row in table.numbers}


def test_holes_numbers_and_idle_rows_of_a_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [("t", entry, "fid") for entry in ("teacher", "sid", "dmd")]
    monkeypatch.setattr(verb, "cells", lambda suite: wanted)
    written(
        tmp_path,
        'entry: sid, fid: "1.50"',
        'entry: dmd, fid: "1.50", source_kind: secondary_note',
        'entry: sdi, fid: "1.50"',
        'line: x, fid: "1.50"',
        common=COMMON.replace("task: a", "task: t"),
    )
    cells, beside = published(tmp_path), lines("t", tmp_path)
    monkeypatch.setattr(papers, "published", lambda: cells)
    monkeypatch.setattr(papers, "lines", lambda task: beside)
    assert main(["published", "--missing", "any"]) == 0
    output = capsys.readouterr().out
    assert "any: 1 of 3 cells have no printed number, 1 not the authors' own" in output
    assert "t/teacher/fid: no number" in output and "t/dmd/fid: 1.50, someone's note of the paper's number" in output
    assert main(["published", "any"]) == 0
    output = capsys.readouterr().out
    assert "2 of 3 cells have a printed number" in output
    assert output.index("beside the tables") < output.index("t/x/fid") < output.index("with no cell in this suite")
    assert output.index("with no cell in this suite") < output.index("t/sdi/fid")


def test_open_cells_are_listed_by_paper_and_table(capsys: pytest.CaptureFixture) -> None:
    assert main(["published", "--missing"]) == 0
    output = capsys.readouterr().out
    assert "SiD (arXiv 2404.04057), Tables 1 to 4: 11 open, in benchmarks/papers/sid/table-1-4.yaml" in output
    assert "  ImageNet 64x64, SiD (alpha=1.0), fid: not readable" in output
    assert "DMD2" not in output.replace("DMD2 and sCM quote", ""), "it was read as a whole"


def test_controls_of_our_own_are_no_holes() -> None:
    cells = verb.cells("mini")
    assert ("digits-cond", "teacher", "fd") in cells
    assert not [cell for cell in cells if cell[1] in ("untrained", "heldout")]

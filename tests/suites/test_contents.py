"""Users' files enter a digest by their content: what a swap, an edit, a touch or a move makes again."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main
from benchmarks.suite import seen
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from tests.suites import paper_files, user_files

TABLES = {"table", "report"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    user_files.write(root)
    user_files.hub(root)
    return root


@pytest.fixture
def root(world: Path, monkeypatch: pytest.MonkeyPatch, bare: None) -> Path:
    monkeypatch.chdir(world)
    monkeypatch.setenv("HF_HUB_CACHE", str(world / "hub"))
    monkeypatch.setattr(seen, "SETTLED", 0)
    return world


@pytest.mark.parametrize("kind", user_files.KINDS)
@pytest.mark.parametrize("change", [*user_files.CHANGES, "move"])
def test_what_a_change_makes_again(root: Path, kind: str, change: str) -> None:
    expected = user_files.KINDS[kind][1] | TABLES if change in user_files.REMAKING else set()
    assert user_files.changed(root, kind, change) == expected


GONE = [kind for kind, (path, _) in user_files.KINDS.items() if Path(path).parent == Path("files")]


@pytest.mark.parametrize("kind", GONE)
def test_a_file_that_was_seen_and_is_gone_makes_nothing_again(root: Path, kind: str) -> None:
    assert user_files.changed(root, kind, "take away") == set()


def test_without_its_file_a_suite_is_planned_by_names(root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    user_files.suite(tmp_path, "files")
    first = load_plan("own.yaml")
    assert not (tmp_path / "results").exists(), "nothing was seen, so nothing is remembered"
    user_files.suite(tmp_path, "elsewhere")
    assert {"teacher", "by-pickle"} <= user_files.again(first, load_plan("own.yaml")), "names decide where nothing is"


LOOKED_AT: list[str] | None = None  # paths that are opened while it is a list


def _note(event: str, arguments: Any) -> None:
    if event == "open" and LOOKED_AT is not None:
        LOOKED_AT.append(str(arguments[0]))


sys.addaudithook(_note)


def test_a_second_plan_opens_nothing_that_it_has_seen(root: Path, monkeypatch: Any) -> None:
    load_plan("own.yaml")
    opened: list[str] = []
    monkeypatch.setattr(sys.modules[__name__], "LOOKED_AT", opened)
    load_plan("own.yaml")
    seen_before = {name for name in opened if "files/" in name or "hub/" in name}
    # The shape of a data set is that of its first image, which only a teacher that is trained here needs.
    assert {Path(name).name for name in seen_before} <= {"main", "img0.png"}, seen_before
    assert not [name for name in seen_before if name.endswith((".pkl", ".safetensors", ".npz", ".txt"))]


def test_a_damaged_table_is_made_anew(root: Path) -> None:
    before = load_plan("own.yaml")
    table = root / "results" / "_shared" / "contents.json"
    whole = table.read_text()
    forged = json.loads(whole)
    for content in ("", "[]", "{", '{"files": 3, "folders": {"x": 1}, "words": []}', "[" * 100_000):
        table.write_text(content)
        assert user_files.again(before, load_plan("own.yaml")) == set()
    for entry in forged["files"].values():
        entry[0] += 1  # another size, and a sha256 that is none of the file
        entry[-1] = "0" * 64
    table.write_text(json.dumps(forged))
    assert user_files.again(before, load_plan("own.yaml")) == set(), "a stat that differs is never believed"


def test_a_file_that_changed_just_before_it_was_read_is_read_again(root: Path, monkeypatch: Any) -> None:
    """Two edits within one tick of the clock leave the same times."""
    monkeypatch.setattr(seen, "SETTLED", 2 * 10**9)
    path = root / "files" / "teacher.pkl"
    path.write_bytes(b"teacher a")
    files = seen.SeenFiles(root / "fresh")
    first = files.file(path)
    stat = files._files[str(path)][:4]
    path.write_bytes(b"teacher b")
    monkeypatch.setattr(seen, "_stat", lambda status: stat)
    assert files.file(path) != first


def test_results_that_cannot_be_written_are_planned(root: Path) -> None:
    (root / "file").write_text("")
    assert load_plan("own.yaml", "file").jobs


def test_a_job_whose_plan_changed_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = load_plan("own.yaml")
    (teacher,) = [job for job in plan.of("teacher") if job.params["name"] == "pickle"]
    run = plan.find("run", "pickle/by-pickle/0")
    user_files.swap(root / "files" / "teacher.pkl")
    assert main(["prepare", "own.yaml", f"teacher/{teacher.id}"]) == 2
    assert main(["run", "own.yaml", run.id, "--digest", run.digest]) == 2
    output = capsys.readouterr().err
    assert output.count("was planned as") == 1 and output.count("run the same command again") == 2


def test_files_cost_a_plan_little_once_they_were_seen(tmp_path: Path, monkeypatch: Any, bare: None) -> None:
    """At most 2.5 ms a job above a plan without them; it takes about 0.5."""
    monkeypatch.setenv("SIDBENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(seen, "SETTLED", 0)

    def planned() -> tuple[float, Plan]:
        begin = time.process_time()
        plan = load_plan("paper")
        return time.process_time() - begin, plan

    without = min(planned()[0] for _ in range(3))
    paper_files.write(load_suite("paper"), tmp_path / "hub", tmp_path / "weights")
    first = load_plan("paper")
    seconds, plan = min((planned() for _ in range(3)), key=lambda timed: timed[0])
    assert [job.digest for job in plan.jobs] == [job.digest for job in first.jobs]
    known = Path("results", seen.TABLE).read_text()
    assert known.count(".pkl") > 5 and known.count(".safetensors") > 50, "the files were seen"
    assert seconds - without < 2.5e-3 * len(plan.jobs)

"""Some rows of a suite: named by a user, or left out because they lack something; the rest is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.machine import lease, runnable
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from benchmarks.suite.selection import matching, with_origins
from benchmarks.verbs import reproduce
from sid.fault import Fault

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.usefixtures("bare")


def written() -> str:
    """The smoke suite with a second task, whose teacher and generator are published and lie nowhere."""
    rows = {"teacher-far": {"control": "teacher", "steps": 18}, "sid-far": {"released": "sid-ffhq64"}}
    content = {
        "name": "own",
        "extends": "smoke",
        "teachers": {"far": {"family": "edm", "source": "far.pkl", "data": "ffhq64"}},
        "tasks": {"far": {"teacher": "far", "protocol": "sid-fid50k-ffhq64", "entries": rows}},
        "entries": {name: {"tasks": ["digits-cond"]} for name in ("teacher", "sid", "dmd", "untrained")},
    }
    Path("own.yaml").write_text(yaml.safe_dump(content))
    return "own.yaml"


@pytest.mark.parametrize(
    ("patterns", "rows"),
    [
        (["digits-cond"], ["teacher", "sid", "dmd", "untrained"]),
        (["sid"], ["sid"]),
        (["digits-cond/d*", "un*"], ["dmd", "untrained"]),
        (["*"], ["teacher", "sid", "dmd", "untrained"]),
    ],
)
def test_rows_are_named_by_task_by_entry_or_by_both(patterns: list[str], rows: list[str]) -> None:
    assert matching(load_suite("smoke"), patterns) == tuple(f"digits-cond/{name}" for name in rows)


def test_a_name_that_fits_nothing_is_refused_with_the_nearest() -> None:
    with pytest.raises(Fault) as caught:
        matching(load_suite("smoke"), ["dmdd", "q*", "sid"])
    assert "did you mean 'dmd'?" in caught.value.sentences[0] and "its tasks: digits-cond" in caught.value.sentences[1]
    assert len(caught.value.sentences) == 2


def test_a_plan_of_some_rows_has_their_jobs_under_the_same_digests() -> None:
    whole = load_plan("mini-full")
    suite = load_suite("mini-full")
    begun = next(f"{task}/{name}" for task, name, entry in suite.rows if entry.init)
    part = load_plan("mini-full", rows=[begun])
    digests = {(job.kind, job.id): job.digest for job in whole.jobs if job.kind not in ("table", "report")}
    mine = {(job.kind, job.id): job.digest for job in part.jobs if job.kind not in ("table", "report")}
    assert mine.items() <= digests.items() and len(mine) < len(digests)
    assert {"/".join(id.split("/")[:2]) for kind, id in mine if kind == "run"} == {*with_origins(suite, begun)}
    assert len(with_origins(suite, begun)) > 1
    assert part.of("table")[0].digest != whole.of("table")[0].digest


def test_each_row_says_what_it_lacks() -> None:
    examined = runnable.examine(load_suite(written()))
    assert examined.ready == tuple(f"digits-cond/{name}" for name in ("teacher", "sid", "dmd", "untrained"))
    assert {*examined.lacking} == {"far/teacher-far", "far/sid-far"}
    teacher, released = examined.reason("far/teacher-far"), examined.reason("far/sid-far")
    assert teacher.startswith("lacks ") and "far.pkl" in teacher and "UT-Austin-PML" not in teacher
    assert "UT-Austin-PML/SiD" in released and "far.pkl" not in released and "looked in" not in released
    assert examined.reason("digits-cond/sid") == ""


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[Plan, list[str]]:
    """What `reproduce` would start Snakemake with."""
    calls: list[tuple[Plan, list[str]]] = []
    monkeypatch.setattr(reproduce, "_run", lambda plan, command: calls.append((plan, command)) or 1)
    assert main(["reproduce", *words]) == 1
    return calls[0]


def test_what_can_run_runs_and_the_rest_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    plan, words = called(monkeypatch, written())
    printed = capsys.readouterr().out
    assert "not run: far/teacher-far: " in printed and "not run: far/sid-far: " in printed and "far.pkl" in printed
    assert {job.params["entry"] for job in plan.of("run")} == {"teacher", "sid", "dmd", "untrained"}
    assert "rows=digits-cond/teacher,digits-cond/sid,digits-cond/dmd,digits-cond/untrained" in words


def test_only_takes_names_before_and_behind_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--only", "sid", "own.yaml"], ["own.yaml", "--only", "sid", "--cores", "1"]):
        written()
        plan, command = called(monkeypatch, *words)
        assert [job.params["entry"] for job in plan.of("run")] == ["sid"] and "rows=digits-cond/sid" in command
        assert "--only" not in command and ("--cores" in command) is ("--cores" in words)


def test_all_or_nothing_by_choice_and_where_nothing_can_run(capsys: pytest.CaptureFixture) -> None:
    for words in (["--no-keep-going", written()], [written(), "--only", "far"]):
        assert main(["reproduce", *words]) == 2
        shown = capsys.readouterr()
        assert "far.pkl" in shown.err and "UT-Austin-PML/SiD" in shown.err and "Traceback" not in shown.err
        assert not Path("results/own").exists()


def test_snakemake_plans_the_same_rows_with_the_gpus_that_it_is_given() -> None:
    """A dry run by Snakemake itself, which reads both from its configuration; the training asks for 8 GPUs."""
    content = yaml.safe_load(Path(written()).read_text())
    content["tasks"]["digits-cond"] = {"machine": {"gpus": 8}}
    Path("own.yaml").write_text(yaml.safe_dump(content))
    words = ["reproduce", "own.yaml", "--results", "elsewhere", "--only", "digits-cond/sid", "--gpus", "2", "-n"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), lease.VISIBLE: "0,1,2"}
    command = [sys.executable, "-m", "benchmarks", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "entry=sid" in said and "entry=dmd" not in said and "far" not in said.replace(str(Path.cwd()), "")
    assert "gpu=2" in said and "gpu=8" not in said
    assert "elsewhere/own/runs/digits-cond/sid" in said and not Path("results").exists()


def test_tables_say_not_run_with_the_reason() -> None:
    plan = load_plan(written())
    job = next(job for job in plan.of("run") if job.params["entry"] == "untrained")
    job.folder.mkdir(parents=True)
    stated = {"suite": "own", "task": "digits-cond", "entry": "untrained", "seed": 0, "digest": job.digest}
    scores = {name: {"value": 1.0, "details": {}} for name in plan.suite.protocols["digits"].metrics}
    (job.folder / "scores.json").write_text(json.dumps({**stated, "metrics": scores}))
    assert main(["table", "own.yaml", "--quiet"]) == 0
    table = Path("results/own/tables/verdict.csv").read_text()
    assert "not run: lacks the images as EDM's zip of ffhq64; far.pkl" in table
    lines = [line for line in table.splitlines() if line.startswith("digits-cond,dmd,")]
    assert lines and all(",not run," in line for line in lines)


def test_fewer_gpus_than_a_training_asks_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    own = {"name": "own", "extends": "smoke", "tasks": {"digits-cond": {"machine": {"gpus": 8}}}}
    Path("own.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.setenv(lease.VISIBLE, "0,1")
    assert main(["reproduce", "own.yaml"]) == 2
    assert "8 GPUs to train on: this machine has 2, and --gpus 2 takes those" in capsys.readouterr().err
    plan, words = called(monkeypatch, "own.yaml", "--gpus", "2")
    assert "gpus=2" in words and len(plan.of("run")) == 4
    plan, words = called(monkeypatch, "own.yaml", "--keep-going")
    assert {job.params["entry"] for job in plan.of("run")} == {"teacher", "untrained"}  # they only sample
    plan, words = called(monkeypatch, "own.yaml", "--executor", "slurm")
    assert len(plan.of("run")) == 4
    monkeypatch.setenv(lease.VISIBLE, "")
    assert main(["reproduce", "own.yaml"]) == 2
    assert "a GPU: this machine has none" in capsys.readouterr().err
    assert main(["reproduce", "own.yaml", "--gpus", "two"]) == 2
    assert "argument --gpus: invalid int value: 'two' (try" in capsys.readouterr().err
    assert main(["reproduce", "--gpus", "0", "own.yaml"]) == 2
    assert "--gpus must be at least 1" in capsys.readouterr().err

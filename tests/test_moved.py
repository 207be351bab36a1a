"""A made-up results tree under a plan that has moved: which rows are made again, and why, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.machine import moved, snakemake
from benchmarks.suite import components
from benchmarks.suite.job import Job
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from benchmarks.verbs import reproduce

pytestmark = pytest.mark.usefixtures("bare")

ROWS = {
    "sid": {"label": "SiD", "method": "sid", "options": {"alpha": 1.0}},
    "sid2a": {"label": "SiD2A", "method": "sida", "init": "sid"},
    "dmd2": {"label": "DMD2", "method": "dmd2"},
    "teacher": {"label": "teacher", "control": "teacher", "steps": 18},
}


def write(alpha: float = 1.0, **training: Any) -> str:
    """A suite of four rows on the smoke suite's teacher."""
    removed = dict.fromkeys(load_suite("smoke").entries)
    rows = {**removed, **ROWS}
    rows["sid"] = {**ROWS["sid"], "options": {"alpha": alpha}}
    content: dict[str, Any] = {"name": "own", "title": "t", "extends": "smoke", "entries": rows}
    if training:
        content["teachers"] = {"digits-cond": {"training": training}}
    Path("own.yaml").write_text(yaml.safe_dump(content))
    return "own.yaml"


def finish(job: Job) -> None:
    """The record that the job would have left."""
    recipe = {name: value for name, value in job.params.items() if name not in ("folder", "state")}
    job.folder.mkdir(parents=True, exist_ok=True)
    content = {"digest": job.digest, "recipe": recipe, "versions": dict(job.versions)}
    (job.folder / "record.json").write_text(json.dumps(content))
    (job.folder / "scores.json").write_text(json.dumps({"unavailable": {}}))


def finished(**changes: Any) -> Plan:
    plan = load_plan(write(**changes))
    for job in plan.jobs:
        if job.kind not in ("table", "report"):
            finish(job)
    return plan


def why(plan: Plan) -> dict[str, list[str]]:
    return {job.id: moved.reasons(job, plan) for job in plan.of("run") if moved.is_moved(job)}


def test_nothing_moves_by_itself() -> None:
    finished()
    assert why(load_plan("own.yaml")) == {}


def test_a_methods_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    finished()
    before = components.methods()["dmd2"].version
    monkeypatch.setattr(type(components.methods()["dmd2"]), "version", before + 1)
    plan = load_plan("own.yaml")
    assert why(plan) == {"digits-cond/dmd2/0": [f"method dmd2 version {before} -> {before + 1}"]}
    again = reproduce._moved(plan)
    assert f"made again: digits-cond/dmd2/0: method dmd2 version {before} -> {before + 1}" in capsys.readouterr().out
    assert again == ["results/own/runs/digits-cond/dmd2/0/scores.json"]
    words = snakemake.command("own.yaml", "results", ["-j", "1"], again=again)
    assert words[words.index("--forcerun") + 1 : words.index("--snakefile")] == again
    assert "--forcerun" not in snakemake.command("own.yaml", "results", ["-j", "1"])


def test_an_option_and_the_row_that_goes_on_from_it() -> None:
    finished(alpha=1.0)
    assert why(load_plan(write(alpha=1.2))) == {
        "digits-cond/sid/0": ["options.alpha 1.0 -> 1.2"],
        "digits-cond/sid2a/0": ["it goes on from digits-cond/sid/0, which is made again"],
    }


def test_what_moved_in_the_teacher() -> None:
    """The old teacher's own record says it; without that record its digests remain."""
    before = finished()
    plan = load_plan(write(lr=0.5))
    old = before.find("run", "digits-cond/dmd2/0").params["teacher"]
    (sentence,) = moved.reasons(plan.find("run", "digits-cond/dmd2/0"), plan)
    assert sentence.startswith("its teacher: options.lr ") and sentence.endswith(" -> 0.5")
    assert len(why(plan)) == len(ROWS)
    (Path(old) / "record.json").unlink()
    new = plan.find("run", "digits-cond/dmd2/0").params["teacher"]
    assert moved.reasons(plan.find("run", "digits-cond/dmd2/0"), plan) == [
        f"its teacher {Path(old).name} -> {Path(new).name}"
    ]


def test_several_reasons_are_cut() -> None:
    assert moved.summary(["a", "b"]) == "a; b"
    assert moved.summary(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"


def test_a_record_that_says_nothing() -> None:
    """Damaged, or of a time with other keys: the row is named all the same."""
    plan = finished()
    job = plan.find("run", "digits-cond/sid/0")
    (job.folder / "record.json").write_text(json.dumps({"digest": "0" * 12, "recipe": {"engine": {"old": 1}}}))
    assert moved.is_moved(job) and any("engine.old 1 -> none" in sentence for sentence in moved.reasons(job, plan))
    recorded = {"digest": "0" * 12, "versions": dict(job.versions), "recipe": json.loads(json.dumps(dict(job.params)))}
    (job.folder / "record.json").write_text(json.dumps(recorded))
    (sentence,) = moved.reasons(job, plan)
    assert "000000000000" in sentence and job.digest in sentence
    (job.folder / "record.json").write_text("{")
    assert not moved.is_moved(job)

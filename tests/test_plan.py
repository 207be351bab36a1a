"""The plan of a suite: files, digests and what a change makes anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.data import open as data_sets
from benchmarks.suite import components, digests, plan
from benchmarks.suite.config import Budget
from benchmarks.suite.digests import digest
from benchmarks.suite.job import KINDS
from benchmarks.suite.plan import Plan, load_plan
from sid.discovery import UnknownName
from tests import toys


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    toys.install(monkeypatch)
    monkeypatch.chdir(tmp_path)


def planned(change: dict[str, Any] | None = None) -> Plan:
    return load_plan(str(toys.write(Path(), change)))


def changed(before: Plan, after: Plan) -> set[str]:
    """The runs, tables and pages whose digest is another one."""
    known = {(job.kind, job.id): job.digest for job in before.jobs}
    return {job.id for job in after.jobs if known.get((job.kind, job.id)) != job.digest}


def test_jobs_and_their_files() -> None:
    made = planned()
    assert [len(made.of(kind)) for kind in KINDS] == [4, 1, 0, 0, 2, 4 + 4 + 4 + 2 + 2, 1, 1]
    job = made.find("run", "one/soft/1")
    home = "results/toys/runs/one/soft/1"
    assert set(job.outputs) == {
        f"{home}/{name}"
        for name in (
            "generator.safetensors",
            "generator.json",
            "curve.jsonl",
            "scores.json",
            "samples.npz",
            "record.json",
        )
    }
    assert job.params["state"] == f"results/toys/state/one/soft/1/{job.digest}"
    teacher = made.teacher("a", 1)
    assert job.params["teacher"] == f"results/_shared/teacher/{teacher.digest}"
    assert f"results/_shared/teacher/{teacher.digest}/network.safetensors" in job.inputs
    assert job.params["options"]["alpha"] == 1.0 and job.params["options"]["rounds"] == 2
    control = made.find("run", "one/teacher/0")
    assert {Path(path).name for path in control.outputs} == {"scores.json", "samples.npz", "record.json"}
    assert not any("teacher" in path for path in made.find("run", "one/floor/0").inputs)
    assert made.of("table")[0].outputs[1] == "results/toys/tables/verdict.csv"
    assert made.of("report")[0].outputs == ("results/toys/report/index.html",)
    assert all(path in made.of("report")[0].inputs for path in made.of("table")[0].outputs)


def test_every_input_is_some_jobs_output() -> None:
    jobs = planned().jobs
    outputs = [path for job in jobs for path in job.outputs]
    assert len(outputs) == len(set(outputs)), "no file is made twice"
    assert {path for job in jobs for path in job.inputs} <= set(outputs)
    assert not any(Path(path).is_absolute() for path in outputs)


def test_the_held_out_images_know_no_seed() -> None:
    made = planned()
    assert [job.id for job in made.of("run") if "/floor/" in job.id] == ["one/floor/0", "two/floor/0"]


def test_pairs_come_from_the_runs_own_teacher() -> None:
    made = planned()
    job = made.find("run", "one/paired/1")
    pairs = made.pairs("one", 1)
    assert job.params["pairs"] == str(pairs.folder)
    assert pairs.inputs == made.teacher("a", 1).outputs
    assert pairs.params["count"] == 10 and pairs.params["steps"] == 18


def test_one_option_remakes_one_entry() -> None:
    after = planned({"entries": {"soft": {"options": {"alpha": 1.25}}}})
    runs = {f"{task}/soft/{seed}" for task in ("one", "two") for seed in (0, 1)}
    assert changed(planned(), after) == runs | {"toys"}


def test_the_guidance_of_a_students_sampling_remakes_its_row_alone() -> None:
    taught: dict[str, Any] = {"teachers": {"a": {"training": {"dropout": 0.1}}}}
    row: dict[str, Any] = {"method": "toy", "tasks": ["one"]}
    before, same, after = (
        planned(taught | {"entries": {"row": row | kappa}}) for kappa in ({}, {"kappa": 1.0}, {"kappa": 2.0})
    )
    assert not {job.id for job in same.of("run")} & changed(before, same)
    assert changed(before, after) & {job.id for job in after.of("run")} == {"one/row/0", "one/row/1"}
    assert after.find("run", "one/row/0").params["sampling"] == {"kappa": 2.0}
    assert "sampling" not in before.find("run", "one/row/0").params


@pytest.mark.parametrize(
    "change",
    [
        {"title": "Other"},
        {"entries": {"soft": {"label": "Soft"}}},
        {"protocols": {"p": {"metrics": {"d": {"tolerance": 0.2, "decimals": 3}}}}},
        {"tasks": {"one": {"title": "One"}}},
    ],
)
def test_what_is_only_shown_trains_nothing(change: dict[str, Any]) -> None:
    assert changed(planned(), planned(change)) == {"toys"}


def test_the_same_meaning_written_otherwise_changes_nothing() -> None:
    after = planned({"entries": {"soft": {"options": {"alpha": 1}}}, "tasks": {"one": {"budget": {"images": "1e3"}}}})
    before = planned()
    assert not {job.id for job in after.of("run")} & changed(before, after)


@pytest.mark.parametrize(
    ("kind", "name", "again"),
    [
        ("methods", "toy", {"soft", "hard"}),
        ("extractors", "tiny", {"teacher", "soft", "hard", "paired", "floor"}),
        ("metrics", "distance", {"teacher", "soft", "hard", "paired", "floor"}),
        ("teachers", "line", {"teacher", "soft", "hard", "paired"}),
    ],
)
def test_a_components_version_remakes_what_depends_on_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str, again: set[str]
) -> None:
    before = planned()
    component = getattr(data_sets if kind == "datasets" else components, kind)()[name]
    monkeypatch.setattr(type(component), "version", component.version + 1)
    runs = {job.split("/")[1] for job in changed(before, planned()) if job.count("/") == 2}
    assert runs == again


def test_the_loops_version_remakes_what_was_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned()
    monkeypatch.setattr(plan, "LOOP_VERSION", plan.LOOP_VERSION + 1)
    assert not any("/floor/" in job for job in changed(before, planned()))
    assert {"one/soft/0", "one/teacher/0", "toys"} <= changed(before, planned())


def test_tables_follow_the_committed_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "REFERENCE", tmp_path / "reference")
    before = planned()
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference" / "toys.csv").write_text("task,method\n")
    assert changed(before, planned()) == {"toys"}


def test_digests_are_pinned() -> None:
    """A digest names files on users' disks: its form is part of the format."""
    assert digest({"b": 1, "a": [1.5, None]}, {"x": 1}, ["two", "one"]) == "bea3eda86707"
    assert digest({"a": [1.5, None], "b": 1}, {"x": 1}, ["one", "two"]) == "bea3eda86707"


def test_budgets_are_whole_batches() -> None:
    recipe = digests.recipe_of(Budget(images=1001, batch=100, observe=4), seed=3)
    assert recipe.images == 1100 and recipe.seed == 3
    assert recipe.observe[-1] == recipe.images and all(count % 100 == 0 for count in recipe.observe)
    assert list(recipe.observe) == sorted(set(recipe.observe))
    assert digests.recipe_of(Budget(), seed=0).observe == ()


def test_long_jobs_go_first() -> None:
    made = planned()
    order = sorted(made.jobs, key=made.priority, reverse=True)
    assert order[0].kind in ("teacher", "extractor")
    runs = [job.id for job in order if job.kind == "run"]
    assert runs.index("two/soft/0") < runs.index("one/soft/0") < runs.index("one/hard/0") < runs.index("one/floor/0")


def test_an_unknown_run_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown run of the suite toys 'one/sofd/0'; did you mean 'one/soft/0'\?"):
        planned().find("run", "one/sofd/0")


def test_a_large_suite_is_planned_quickly() -> None:
    import time

    seeds = list(range(200))
    file = toys.write(Path(), {"seeds": seeds})
    started = time.process_time()
    jobs = load_plan(str(file)).jobs
    assert len(jobs) > 1500
    assert time.process_time() - started < 2.5e-3 * len(jobs)


def test_a_run_that_begins_from_another_waits_for_it_and_follows_its_digest(tmp_path: Path) -> None:
    """SiD2A: the generator of the named entry is an input, and its change is a change."""
    first = planned({"entries": {"hard": {"init": "soft"}}})
    second = planned({"entries": {"hard": {"init": "soft"}, "soft": {"options": {"alpha": 0.7}}}})
    run = first.find("run", "one/hard/0")
    assert f"{first.find('run', 'one/soft/0').folder}/generator.safetensors" in run.inputs
    assert run.params["init"] == str(first.find("run", "one/soft/0").folder)
    assert run.digest != second.find("run", "one/hard/0").digest

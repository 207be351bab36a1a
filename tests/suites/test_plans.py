"""The papers' suites: planned without data or weights, their tables have the declared rows, their names match."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.suite import files
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan, load_plan
from benchmarks.suite.released import released
from benchmarks.tables import rows as table_rows
from benchmarks.tables.layout import layout_of
from benchmarks.tables.papers import published
from sid.fault import Fault
from tests import toys

ROOT = Path(__file__).parents[2]
PAPERS = ("cifar10", "edm64", "sd15", "sdxl", "pixart", "sid-dit", "released")
# Printed cells that no row stands for, each with its reason in the suite's comments.
LEFT_OUT = {("sd15-coco", "dmd"), ("sd15-coco", "teacher-sde")}


pytestmark = pytest.mark.usefixtures("bare")


@pytest.mark.parametrize("name", files.names("suite"))
def test_a_suite_plans_with_nothing_there_and_its_tables_have_its_rows(name: str) -> None:
    suite = load_suite(name)
    plan = Plan(suite)
    rows = table_rows.build(layout_of(plan), {})
    declared = [
        (task, entry, column)
        for task in suite.tasks
        for entry in suite.entries_of(task)
        for column in suite.protocols[suite.tasks[task].protocol].metrics
    ]
    assert [(row.task.name, row.line.entry, row.column.name) for row in rows] == declared
    assert {row.judgement.text for row in rows} == {"not run"}
    assert not list(Path().iterdir()), "planning writes nothing"


def test_the_paper_suite_is_all_the_others() -> None:
    whole = load_suite("paper")
    rows = {(task, name): entry for task, name, entry in whole.rows}
    parts = {(task, name): entry for part in PAPERS for task, name, entry in load_suite(part).rows}
    assert rows == parts
    planned = {job.id: job.digest for part in PAPERS for job in load_plan(part).of("run")}
    assert {job.id: job.digest for job in load_plan("paper").of("run")} == planned, "what one made serves the other"


def test_every_printed_cell_has_its_row() -> None:
    rows = {(task, name) for task, name, _ in load_suite("paper").rows}
    assert {(task, name) for task, name, _ in published()} - rows <= LEFT_OUT


def test_every_published_generator_is_scored() -> None:
    used = {entry.released for *_, entry in load_suite("released").rows}
    assert used == {name for name, its in released().items() if not its.lacks}


def test_what_samples_in_shards_uses_all_of_its_gpus() -> None:
    """Trainings, controls and published generators alike; prompts and pairs get one."""
    plan = load_plan("paper")
    asked = {job.id: job.resources["gpu"] for job in plan.of("run")}
    assert {asked[f"sd15-coco/{entry}/0"] for entry in ("sid-lsg-1.5", "teacher", "instaflow-0.9b")} == {4}
    assert asked["sdxl-10k/sdxl-turbo-1step/0"] == 8 and all(asked.values())
    assert {job.resources["gpu"] for kind in ("prompts", "pairs", "latents") for job in plan.of(kind)} == {1}


def test_controls_stand_in_every_table_of_a_training() -> None:
    for part in PAPERS[:-1]:
        suite = load_suite(part)
        for task in suite.tasks:
            controls = {entry.control for entry in suite.entries_of(task).values()}
            assert {"teacher", "untrained"} <= controls, f"{part}/{task}"


def test_dmd2_trains_on_the_real_captions_and_truncates_where_its_code_does() -> None:
    """The captions in four steps of SDXL; the floats of SD 1.5 and ImageNet-64, whose protocols round."""
    runs = {job.id: job.params for job in load_plan("paper").of("run")}
    four, one = runs["sdxl-10k/dmd2/0"], runs["sdxl-10k/dmd2-1/0"]
    assert four["prompts_from"] == "real" and "prompts" not in four and "latents" in four
    assert "prompts_from" not in one and "prompts" in one
    truncating = {run for run, params in runs.items() if params.get("quantiser") == "truncate"}
    assert {run.rpartition("/")[0] for run in truncating} == {
        "sd15-coco/dmd2",
        "sd15-coco/dmd2-without-gan",
        "imagenet64/dmd2",
        "imagenet64/dmd2-without-gan",
        "imagenet64/dmd2-longer",
    }


def test_real_captions_need_real_pairs(tmp_path: Path) -> None:
    row = {"method": "sid-lsg", "options": {"kappa": 1.5}, "prompts": "real"}
    content = {"extends": "sd15", "name": "own", "tasks": {"sd15-coco": {"real": None, "entries": {"own": row}}}}
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(Fault) as fault:
        load_suite(str(file))
    assert any("own" in sentence and "prompts: real" in sentence for sentence in fault.value.sentences)


def test_snakemake_plans_every_paper(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "snakemake", "-n", "--directory", str(tmp_path), "--config", "suite=paper"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    counts = {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}
    plan = load_plan("paper")
    trained = sum("method" in job.params for job in plan.of("run"))
    assert counts["run"] == trained and counts["control"] == len(plan.of("run")) - trained
    assert counts["latents"] == len(plan.of("latents")) == 8 and counts["published"] == len(plan.of("teacher"))


def test_an_entry_of_a_task_stands_beside_the_suites(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
    own = {"soft": {"method": "toy", "options": {"alpha": 1.9}}, "extra": {"method": "toy", "init": "soft"}}
    suite = load_suite(str(toys.write(Path(), {"tasks": {"two": {"entries": own}}})))
    assert list(suite.entries_of("one")) == ["teacher", "soft", "hard", "paired", "floor"]
    assert list(suite.entries_of("two")) == ["teacher", "soft", "hard", "floor", "extra"]
    plan = Plan(suite)
    assert plan.find("run", "two/soft/0").params["options"]["alpha"] == 1.9
    assert plan.find("run", "one/soft/0").params["options"]["alpha"] == 1.0
    assert plan.find("run", "two/extra/0").params["init"] == "results/toys/runs/two/soft/0"


def test_a_tasks_own_entry_may_train_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
    own: dict = {"adapted": {"method": "toy", "budget": {"student": {"rank": 4}}}}
    plan = load_plan(str(toys.write(Path(), {"tasks": {"two": {"entries": own}}})))
    assert plan.find("run", "two/adapted/0").params["recipe"]["student"]["rank"] == 4
    own["adapted"]["init"] = "soft"
    with pytest.raises(Fault, match=r"tasks\.two\.entries\.adapted: a student of adapters .* no init"):
        load_suite(str(toys.write(Path(), {"tasks": {"two": {"entries": own}}})))


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"x": {"method": "toyy"}}, "tasks.two.entries.x.method: unknown method 'toyy'; did you mean 'toy'?"),
        ({"x": {"method": "toy", "tasks": ["one"]}}, "tasks.two.entries.x.tasks: an entry of one task names no tasks"),
        ({"x": {"method": "toy", "init": "paired"}}, "tasks.two.entries.x.init: paired does not run on two"),
        ({"soft": {"control": "untrained"}}, "tasks.two.entries.soft: trains on another task and not here"),
        ({"x": {"methd": "toy"}}, "tasks.two.entries.x.methd: unknown key 'methd'; did you mean 'method'?"),
    ],
)
def test_faults_of_a_tasks_entry(own: dict, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
    with pytest.raises(Fault) as caught:
        load_suite(str(toys.write(Path(), {"tasks": {"two": {"entries": own}}})))
    assert any(sentence in fault for fault in caught.value.sentences), caught.value.sentences


def test_several_parents_are_joined_and_the_later_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
    toys.write(Path(), name="first")
    toys.write(Path(), {"title": "Other", "entries": {"soft": {"label": "later"}}}, name="second")
    Path("joined.yaml").write_text(yaml.safe_dump({"name": "joined", "extends": ["first.yaml", "second.yaml"]}))
    suite = load_suite("joined.yaml")
    assert suite.title == "Other" and suite.entries["soft"].label == "later"
    Path("joined.yaml").write_text(yaml.safe_dump({"name": "joined", "extends": ["first.yaml", "joined.yaml"]}))
    with pytest.raises(Fault, match="comes back to itself"):
        load_suite("joined.yaml")


def test_made_weights_are_part_of_every_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.install(monkeypatch)
    plain, made = (load_plan(str(toys.write(Path(), change))) for change in ({}, {"random_weights": 0}))
    for job in plain.of("run"):
        assert made.find("run", job.id).digest != job.digest
    assert {job.digest for job in made.of("teacher")} == {job.digest for job in plain.of("teacher")}

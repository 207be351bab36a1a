"""A run that another suite of the same results has made is taken over by name and digest, and by nothing less."""

import json
from pathlib import Path

import pytest

from benchmarks.run import twins
from benchmarks.suite.job import Job
from benchmarks.suite.plan import Plan, load_plan


@pytest.fixture
def planned(tmp_path: Path) -> tuple[Job, Plan]:
    """A planned run of the smoke suite, and the same run made by the suite `other` of the same results."""
    plan = load_plan("smoke", str(tmp_path))
    job = next(job for job in plan.of("run") if "method" in job.params)
    made = tmp_path / "other" / "runs" / job.id
    made.mkdir(parents=True)
    for output in job.outputs:
        (made / Path(output).name).write_text(f"bytes of {Path(output).name}")
    (made / "critic.safetensors").write_text("left for a second stage")
    (made / "scores.json").write_text(json.dumps({"suite": "other", "digest": job.digest, "metrics": {"fd": 1.5}}))
    record = {"digest": job.digest, "command": "sidbench run other x", "seconds": 3.0, "recipe": {"label": "old"}}
    (made / "record.json").write_text(json.dumps(record))
    return job, plan


def test_its_files_are_the_same_and_say_who_made_them(planned: tuple[Job, Plan]) -> None:
    job, plan = planned
    assert twins.take_over(job, plan) == "other"
    assert all(Path(output).is_file() for output in job.outputs)
    assert (job.folder / "generator.safetensors").read_text() == "bytes of generator.safetensors"
    assert (job.folder / "critic.safetensors").read_text() == "left for a second stage"
    scores = json.loads((job.folder / "scores.json").read_text())
    assert (scores["suite"], scores["label"], scores["metrics"]) == ("smoke", job.params["label"], {"fd": 1.5})
    record = json.loads((job.folder / "record.json").read_text())
    assert (record["taken_from"], record["command"], record["seconds"]) == ("other", "sidbench run other x", 3.0)
    assert record["recipe"]["label"] == job.params["label"]


def test_a_later_change_here_leaves_the_other_suite_alone(planned: tuple[Job, Plan], tmp_path: Path) -> None:
    job, plan = planned
    twins.take_over(job, plan)
    twins.take_over(job, plan)  # over files that are there
    for name in ("scores.json", "record.json"):
        assert "taken_from" not in (tmp_path / "other" / "runs" / job.id / name).read_text()


@pytest.mark.parametrize(
    "fault",
    [
        "digest",
        "scored otherwise",
        "no record",
        "broken record",
        "bottomless record",
        "a file less",
        "a column less",
        "itself",
    ],
)
def test_nothing_less_is_taken(fault: str, planned: tuple[Job, Plan], tmp_path: Path) -> None:
    job, plan = planned
    made = tmp_path / "other" / "runs" / job.id
    if fault == "digest":
        (made / "record.json").write_text(json.dumps({"digest": "000000000000"}))
    elif fault == "scored otherwise":
        (made / "scores.json").write_text(json.dumps({"digest": "000000000000"}))
    elif fault == "no record":
        (made / "record.json").unlink()
    elif fault == "broken record":
        (made / "record.json").write_text("{")
    elif fault == "bottomless record":
        (made / "record.json").write_text("[" * 100_000)
    elif fault == "a file less":
        (made / "samples.npz").unlink()
    elif fault == "a column less":
        scores = {"digest": job.digest, "unavailable": {"fid": "its weights are missing"}}
        (made / "scores.json").write_text(json.dumps(scores))
    else:
        (tmp_path / "other").rename(tmp_path / "smoke")
    assert twins.take_over(job, plan) is None
    assert fault == "itself" or not job.folder.exists()

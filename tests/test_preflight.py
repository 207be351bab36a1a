"""Before a suite is made: missing weights are reported, and runs that lacked them are found once they have come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.assets import Missing
from benchmarks.cli import main
from benchmarks.features.inception import WEIGHT
from benchmarks.machine import needs
from benchmarks.suite import files
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import load_plan

TEACHER = {"control": "teacher", "steps": 18}
COLUMN = {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": "digits", "split": "train"}}


pytestmark = pytest.mark.usefixtures("bare")


def written() -> str:
    """The smoke suite with a column of Inception."""
    own = {"extends": "digits", "samples": 32, "metrics": {"fid": COLUMN}}
    content = {"name": "own", "title": "t", "extends": "smoke", "protocols": {"short": own}}
    Path("own.yaml").write_text(yaml.safe_dump({**content, "tasks": {"digits-cond": {"protocol": "short"}}}))
    return "own.yaml"


def test_missing_weights_are_reported_with_their_columns(capsys: pytest.CaptureFixture) -> None:
    (sentence,) = needs.unavailable(load_suite(written()))
    assert "inception-2015-12-05: without them fid of short will be unavailable" in sentence
    assert main(["plan", "own.yaml"]) == 0
    assert "missing: the weights inception-2015-12-05" in " ".join(capsys.readouterr().out.split())
    content = yaml.safe_load(Path("own.yaml").read_text())
    Path("own.yaml").write_text(yaml.safe_dump({**content, "random_weights": 0}))
    assert not needs.unavailable(load_suite("own.yaml"))


def test_runs_that_lacked_weights_are_found_when_these_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(written())
    ids = [job.id for job in plan.of("run")]
    for number, job in enumerate(plan.of("run")):
        job.folder.mkdir(parents=True)
        empty = {"fid": Missing.weight(WEIGHT).sentences[0]} if number else {}
        (job.folder / "scores.json").write_text(json.dumps({"unavailable": empty}))
    assert not needs.completable(plan)
    monkeypatch.setattr(needs, "find", lambda weight: Path(weight.name))
    assert [job.id for job in needs.completable(plan)] == ids[1:]
    # Any other reason would be found again, by every call: such a run is left as it is.
    job = plan.of("run")[1]
    (job.folder / "scores.json").write_text(json.dumps({"unavailable": {"fid": "the reference has one image"}}))
    assert [job.id for job in needs.completable(plan)] == ids[2:]


def test_a_broken_file_of_printed_numbers_stops_a_suite_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        from sid.fault import Fault

        raise Fault("x.yaml: rows.0.value: is missing")

    monkeypatch.setattr(needs, "published", broken)
    assert needs.obstacles(load_suite("smoke")) == ["x.yaml: rows.0.value: is missing"]


def test_only_what_a_row_reads_is_demanded() -> None:
    """A teacher without a row, and one whose rows are others' generators, need neither network nor data."""
    content: dict[str, Any] = {
        "name": "own",
        "seeds": [0],
        "teachers": {
            name: {"family": "edm", "source": f"{name}.pkl", "data": f"ffhq64@{name}"}
            for name in ("read", "unread", "elsewhere")
        },
        "tasks": {
            "a": {"teacher": "read", "protocol": "sid-fid50k-ffhq64", "entries": {"teacher": TEACHER}},
            "b": {
                "teacher": "elsewhere",
                "protocol": "sid-fid50k-ffhq64",
                "entries": {"row": {"released": "sid-ffhq64"}},
            },
        },
    }
    Path("own.yaml").write_text(yaml.safe_dump(content))
    sentences = needs.obstacles(load_suite("own.yaml"))
    assert any("read.pkl" in sentence for sentence in sentences)
    assert any("UT-Austin-PML/SiD" in sentence for sentence in sentences)
    assert not [sentence for sentence in sentences if "unread" in sentence or "elsewhere" in sentence]


@pytest.mark.parametrize("suite", files.names("suite"))
@pytest.mark.parametrize("verb", ["data", "doctor"])
def test_every_shipped_suite_can_be_asked_about(suite: str, verb: str, capsys: pytest.CaptureFixture) -> None:
    """Nothing lies here: that is a list of what is missing, and no fault."""
    status = main([verb, suite])
    output = capsys.readouterr()
    assert not output.err and output.out
    assert status == 0 or (verb == "doctor" and "broken" in output.out)
    if verb == "data" and suite in ("sd15", "sdxl", "paper"):
        assert "laion-aesthetic-5.5: missing" in output.out and "NAME.txt beside NAME.jpg" in output.out

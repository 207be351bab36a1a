"""A published teacher's job can be run again: after a lost record, a forced rerun, a kill inside the import."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.suite.job import Job
from benchmarks.suite.plan import load_plan
from sid.teachers.pickles import edm_pickle
from tests.suites import standins, user_files


@pytest.fixture
def job(tmp_path: Path, bare: None) -> Job:
    user_files.write(tmp_path)
    standins.edm_pickle(tmp_path / "files" / "teacher.pkl")
    content = yaml.safe_load((tmp_path / "own.yaml").read_text())
    content["tasks"] = {"pickle": content["tasks"]["pickle"]}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    (made,) = load_plan("own.yaml").of("teacher")
    prepare(made)
    return made


def prepare(job: Job) -> None:
    assert main(["prepare", "own.yaml", f"teacher/{job.id}"]) == 0


def network(job: Job) -> bytes:
    return (job.folder / "network.safetensors").read_bytes()


@pytest.mark.parametrize("lost", [("record.json",), ("teacher.json", "record.json"), ("teacher.json",), ()])
def test_the_same_command_makes_it_again(lost: tuple[str, ...], job: Job) -> None:
    """As Snakemake runs it again: declared outputs are deleted before, the network stays."""
    first = network(job)
    for name in lost:
        (job.folder / name).unlink()
    prepare(job)
    assert network(job) == first
    assert json.loads((job.folder / "teacher.json").read_text())["digest"] == job.digest


def test_a_kill_inside_the_import_is_made_good(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = network(job)
    shutil.rmtree(job.folder)

    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(edm_pickle.atomic, "write_json", killed)
        with pytest.raises(Killed):
            main(["prepare", "own.yaml", f"teacher/{job.id}"])
    job.folder.mkdir(exist_ok=True)
    (job.folder / "network.safetensors").write_bytes(first[:100])
    prepare(job)
    assert network(job) == first


def test_a_folder_of_somebody_else_is_still_refused(job: Job, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    assert main(["import", "files/teacher.pkl", "--to", str(tmp_path / "mine")]) == 2
    assert "was not imported from this file" in capsys.readouterr().err

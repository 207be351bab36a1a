"""Who may work where: locks by the kernel, claims where a file system keeps none, and workflows that share a job."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.machine import launch, snakemake
from benchmarks.suite.plan import load_plan
from sid.fault import Fault
from sid.loop import claim, lock
from tests.test_workflow import ROOT, Place

HOLDER = """
import contextlib, sys
from pathlib import Path
import fcntl
from sid.loop import lock
{before}
one = lock.Lock(Path(sys.argv[1]))
assert one.take()
one.sign("sidbench run a b")
print("locked", flush=True)
sys.stdin.read()
"""
NONE = """
def none(file, operation):
    raise OSError(37, "No locks available")
fcntl.flock = none
"""


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)


@contextlib.contextmanager
def another(path: Path, before: str = ""):  # type: ignore[no-untyped-def]
    """A process that has the lock, until the block ends."""
    words = [sys.executable, "-c", HOLDER.format(before=before), str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("before", ["", NONE], ids=["locks", "claims"])
def test_a_second_process_names_the_first_and_follows_its_kill(
    before: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if before:
        request.getfixturevalue("no_flock")
    path = tmp_path / "state" / "run-0.lock"
    with another(path, before) as process:
        sentence = rf"in use by process {process.pid} on .* \(sidbench run a b\)"
        with pytest.raises(Fault, match=sentence), lock.locked(path, patience=0.0):
            pass
        process.kill()
        process.wait()
        with lock.locked(path, patience=5.0):
            assert f"process {os.getpid()} on" in path.read_text()
    assert not claim.place(path).exists()


def test_a_claim_of_another_host_is_believed_and_its_file_named(tmp_path: Path, no_flock: None) -> None:
    path = tmp_path / "run-0.lock"
    path.write_text("process 1 on far since noon\n")
    claim.place(path).write_text(json.dumps({"host": "far", "pid": 1, "began": "2"}))
    with pytest.raises(Fault) as raised, lock.locked(path, patience=0.0):
        pass
    (sentence,) = raised.value.sentences
    assert "in use by process 1 on far" in sentence and f"is gone, remove {claim.place(path)}" in sentence


def test_a_claim_whose_number_another_process_has_now_is_left_behind(tmp_path: Path, no_flock: None) -> None:
    path = tmp_path / "run-0.lock"
    mine = {"host": os.uname().nodename, "pid": os.getppid(), "began": "1"}
    claim.place(path).write_text(json.dumps(mine))
    with lock.locked(path, patience=0.0):
        assert json.loads(claim.place(path).read_text())["pid"] == os.getpid()


def test_an_error_of_the_disk_is_no_missing_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(file: object, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="Input/output"), lock.locked(tmp_path / "run-0.lock"):
        pass


def test_a_holder_that_has_not_signed_yet_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never "process unknown": between a lock and its holder's name lies a moment."""
    with another(tmp_path / "one.lock") as process:
        (tmp_path / "one.lock").write_text("")
        waiting = lock.Lock(tmp_path / "one.lock")
        looks = iter(["", "", f"process {process.pid} on here"])
        waiting.holder = lambda: next(looks)  # type: ignore[method-assign]
        waiting.take = lambda patience=0.0: patience > 10  # type: ignore[method-assign, assignment]
        waiting.wait("which does something")
        waiting.close()
    assert capsys.readouterr().err == f"waiting for process {process.pid} on here, which does something\n"


def test_reproduce_works_where_nothing_can_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_flock: None
) -> None:
    monkeypatch.chdir(tmp_path)
    with snakemake.alone("smoke"):
        assert "(sidbench reproduce smoke)" in snakemake.OWN_LOCK.read_text()
        assert claim.place(snakemake.OWN_LOCK).exists()
    assert not claim.place(snakemake.OWN_LOCK).exists()


def test_a_processs_start_is_known() -> None:
    assert claim.began(os.getpid()).isdigit() == Path("/proc/self/stat").exists()
    assert claim.began(2**22 + 7) == ""


def own_suite(place: Path, name: str) -> None:
    suite = {"name": name, "extends": "smoke", "teachers": {"digits-cond": {"training": {"images": 5_000}}}}
    (place / f"{name}.yaml").write_text(yaml.safe_dump(suite))


@pytest.mark.slow
def test_of_two_suites_one_makes_the_teacher_and_the_other_waits(tmp_path: Path) -> None:
    """In two folders, over one results tree: the real jobs, whose lock lies beside the state."""
    results, jobs = tmp_path / "results", []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        own_suite(tmp_path / name, name)
    (teacher,) = load_plan(str(tmp_path / "a" / "a.yaml"), str(results)).of("teacher")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), launch.BEGAN: "1"}
    for name in ("a", "b"):
        words = [sys.executable, "-m", "benchmarks", f"--results={results}", "prepare", f"{name}.yaml"]
        jobs.append(
            subprocess.Popen(
                [*words, f"teacher/{teacher.id}", "--quiet"],
                cwd=tmp_path / name,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [job.communicate(timeout=900) for job in jobs]
    finally:
        for job in jobs:
            job.kill()
    assert [job.returncode for job in jobs] == [0, 0], said
    second = next(index for index, (_, wrong) in enumerate(said) if "waiting for process" in wrong)
    first = "ab"[1 - second]
    assert f"(sidbench prepare {first}.yaml teacher/{teacher.id}), which makes teacher {teacher.id}" in said[second][1]
    assert f"teacher/{teacher.id} was made meanwhile" in said[second][0]
    assert sum("was made meanwhile" in out for out, _ in said) == 1
    assert json.loads((teacher.folder / "record.json").read_text())["digest"] == teacher.digest


def test_what_is_being_made_elsewhere_is_said_before_the_first_job(tmp_path: Path) -> None:
    """A job says so in its log; whoever looks at the terminal hears of it, too."""
    plan = load_plan("smoke", str(tmp_path))
    (teacher,) = plan.of("teacher")
    assert list(launch.made_elsewhere(plan.jobs)) == []
    with another(Path(teacher.params["state"]).with_name(f"{teacher.digest}.lock")) as process:
        (sentence,) = launch.made_elsewhere(plan.jobs)
        assert sentence.startswith(f"waiting for process {process.pid} on ") and f"teacher {teacher.id}" in sentence
    assert list(launch.made_elsewhere(plan.jobs)) == []


def test_what_another_workflow_has_made_meanwhile_is_not_deleted(tmp_path: Path) -> None:
    """Snakemake removes declared outputs before a job begins; a shared artefact may have readers by then."""
    place = Place(tmp_path / "here")
    (teacher,) = load_plan(str(place.suite), str(place.folder / "results")).of("teacher")
    for path in map(Path, teacher.outputs[:-1]):  # a record is missing: planned as to be made
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of another workflow")
    first = Path(teacher.outputs[0])
    number = first.stat().st_ino
    place.snakemake("--until", "teacher", "--cores", "1")
    assert first.stat().st_ino == number, "removed and written anew"


def test_made_meanwhile_is_made_since_the_workflow_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (teacher,) = load_plan("smoke", str(tmp_path)).of("teacher")
    for path in map(Path, teacher.outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"digest": teacher.digest}))
    os.utime(teacher.folder / "record.json", (1000, 1000))
    for began, made in (("999", True), ("1001", False), (None, False)):
        monkeypatch.delenv(launch.BEGAN, raising=False)
        if began:
            monkeypatch.setenv(launch.BEGAN, began)
        assert launch.made_meanwhile(teacher) is made
    monkeypatch.setenv(launch.BEGAN, "999")
    (teacher.folder / "record.json").write_text(json.dumps({"digest": "another"}))
    assert not launch.made_meanwhile(teacher)

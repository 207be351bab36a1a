"""Every hostile input is answered by a sentence, within ten seconds and eight gigabytes; none is executed."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.images.reading import open_checked, refuse_undecodable
from benchmarks.suite.plan import load_plan
from sid.fault import LONGEST, Fault
from sid.teachers import edm
from sid.teachers.edm import EdmTeacher
from sid.teachers.pickles.edm_pickle import import_file
from tests.hostile import images, pickles, suites

SECONDS = 10.0
GIGABYTES = 8.0
FEWEST = {"pickles": 70, "suites": 50, "images": 40}


def answered(call: Callable[[], object]) -> str:
    """ "refused" or "accepted"; anything but a Fault fails the test."""
    begin = time.process_time()  # the machine may have other work
    try:
        call()
        answer = "accepted"
    except Fault as fault:
        answer = "refused"
        assert all(line.isprintable() and len(line) < LONGEST + 100 for line in fault.lines)
    assert time.process_time() - begin < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 < GIGABYTES
    return answer


def opened(path: Path, folder: Path) -> None:
    """As a published teacher is: imported, and its network built."""
    record = import_file(path, folder)
    if path.stem == "build":
        assert edm.split(record["settings"])
        EdmTeacher().load(folder)


def test_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    count: Counter[str] = Counter()
    for number, (name, file, content) in enumerate(pickles.corpus()):
        path = tmp_path / str(number) / file
        path.parent.mkdir()
        path.write_bytes(content)
        answer = answered(lambda path=path: opened(path, path.parent / "out"))  # type: ignore[misc]
        count[answer] += 1
        assert answer == "refused" or path.stem == "either", name
    assert count.total() >= FEWEST["pickles"]
    assert not list(tmp_path.rglob(pickles.MARK)) and not list(tmp_path.rglob("owned"))


def test_suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    count: Counter[str] = Counter()
    for name, content in suites.corpus():
        (tmp_path / "own.yaml").write_bytes(content)
        answer = answered(lambda: load_plan("own.yaml"))
        count[answer] += 1
        assert answer == ("accepted" if name.startswith("sound") else "refused"), name
    assert count["refused"] >= FEWEST["suites"]
    assert {path.name for path in tmp_path.iterdir()} == {"own.yaml"}


def test_image_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    count: Counter[str] = Counter()
    for name, path in images.make(tmp_path):
        count[answer := answered(lambda path=path: refuse_undecodable(open_checked(path)))] += 1  # type: ignore[misc]
        assert answer == "refused" or name.startswith("either"), name
    assert count.total() >= FEWEST["images"]
    assert not list(tmp_path.rglob(pickles.MARK))

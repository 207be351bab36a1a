"""Every hostile input is answered by a sentence, within ten seconds and eight gigabytes; none is executed."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from benchmarks.images.reading import decode, open_checked, refuse_undecodable
from benchmarks.run import artefacts
from benchmarks.suite.plan import load_plan
from sid.fault import LONGEST, Fault
from sid.teachers import edm
from sid.teachers.edm import EdmTeacher
from sid.teachers.pickles.edm_pickle import import_file
from tests.hostile import folders, images, pickles, suites

SECONDS = 10.0
GIGABYTES = 8.0
FEWEST = {"pickles": 70, "suites": 50, "images": 40, "folders": 80}


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


def whole_weights(folder: Path) -> bool:
    """Whether an archive that was accepted gave the weights that it was made of: four zeros."""
    (weight,) = load_file(folder / "network.safetensors").values()
    return weight.shape == (4,) and not weight.any()


def whole_images(path: Path) -> bool:
    """Whether a source that was accepted gave the pictures that it was made of."""
    source = open_checked(path)
    shown = [decode(source.read(index), path.name)[0] for index in range(len(source))]
    expected = [images.PIXELS[0]] if path.suffix == ".zip" else [np.zeros((3, 8, 8), np.uint8)]
    return len(shown) == 1 and np.array_equal(shown, expected)


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
        if answer == "accepted":
            assert whole_weights(path.parent / "out"), name
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
        assert answer == "refused" or whole_images(path), name
    assert count.total() >= FEWEST["images"]
    assert not list(tmp_path.rglob(pickles.MARK))


def described(kind: str, folder: Path) -> None:
    """A teacher or generator as a run opens it."""
    (artefacts.open_teacher if kind == "teacher" else artefacts.open_generator)(folder)


def test_folders(tmp_path: Path) -> None:
    count: Counter[str] = Counter()
    for name, kind, folder in folders.make(tmp_path):
        count[answer := answered(lambda kind=kind, folder=folder: described(kind, folder))] += 1  # type: ignore[misc]
        assert answer == ("accepted" if name == "sound" else "refused"), name
    assert count["refused"] >= FEWEST["folders"] and count["accepted"] == 2

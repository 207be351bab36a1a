"""A state folder executes nothing: forged descriptions, pickles and counters are refused in a sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.suite.components import methods
from sid.fault import Fault
from sid.loop.checkpoint import read_metadata
from tests import toy

SID = methods()["sid"]
OPTIONS = SID.options("toy", "digits")


class Payload:
    """What a pickle would run."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def distil(folder: Path) -> torch.Tensor:
    return toy.weights(toy.distil(SID, OPTIONS, folder, save_seconds=0.0))


def seal(state: Path) -> None:
    """Checksums of the forger's own: they prove nothing about who wrote the files."""
    files = sorted(file for file in state.rglob("*") if file.is_file() and file.name != "checksums.json")
    sums = {str(file.relative_to(state)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (state / "checksums.json").write_text(json.dumps(sums))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    folder = tmp_path_factory.mktemp("trained")
    return folder, distil(folder)


@pytest.fixture
def folder(trained: tuple[Path, torch.Tensor], tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(trained[0], tmp_path / "copy")
    return tmp_path / "copy"


def change(key: tuple[Any, ...], value: Any) -> Callable[[Path], None]:
    """Another value in the description, under the first tensor where the key begins with None."""

    def forge(state: Path) -> None:
        path = state / "tensors" / "metadata.json"
        content = json.loads(path.read_text())
        inner = content
        if key[0] is None:
            inner = next(iter(content["tensors"].values()))
        for part in key[1 if key[0] is None else 0 : -1]:
            inner = inner[part]
        inner[key[-1]] = value
        path.write_text(json.dumps(content))

    return forge


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda state: (state / name).write_bytes(content) and None


FORGERIES: dict[str, Callable[[Path], None]] = {
    "a file outside": change((None, "places", 0, "file"), "../../../secret"),
    "a file that is not there": change((None, "places", 0, "file"), "other.distcp"),
    "bytes beyond the file": change((None, "places", 0, "bytes"), 2**40),
    "a negative start": change((None, "places", 0, "start"), -1),
    "a boolean for a number": change((None, "places", 0, "start"), True),
    "a huge tensor": change((None, "size"), [2**40, 2**20]),
    "no number": change((None, "size"), ["4"]),
    "an object dtype": change((None, "dtype"), "Tensor"),
    "no table": change(("tensors",), []),
    "another version": change(("version",), 99),
    "deep nesting": replaced("tensors/metadata.json", b"[" * 100_000),
    "no JSON": replaced("tensors/metadata.json", b"\x80\x04."),
    "no description": lambda state: (state / "tensors" / "metadata.json").unlink(),
    "counters of another kind": replaced("counters.json", b'{"iteration": "six"}'),
    "unknown counters": replaced("counters.json", b'{"other": 1}'),
    "a list for counters": replaced("counters.json", b"[1]"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_description_is_refused_and_the_one_before_is_taken(
    forgery: str, folder: Path, trained: tuple[Path, torch.Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    newest = max(folder.glob("state-*"))
    FORGERIES[forgery](newest)
    seal(newest)
    assert torch.equal(distil(folder), trained[1])
    errors = capfd.readouterr().err
    assert f"{newest} is damaged" in errors and "falling back" in errors and "Traceback" not in errors


def test_torchs_own_description_is_never_unpickled(
    folder: Path, trained: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    for state in folder.glob("state-*"):
        (state / "tensors" / ".metadata").write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
        seal(state)
    assert torch.equal(distil(folder), trained[1])
    assert not (tmp_path / "mark").exists()


def test_a_pickle_in_the_place_of_tensors_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    for state in folder.glob("state-*"):
        (file,) = (state / "tensors").glob("*.distcp")
        forged = tmp_path / "forged"
        torch.save(Payload(tmp_path / "mark"), forged)
        file.write_bytes(forged.read_bytes().ljust(file.stat().st_size, b"\0"))
        seal(state)
    with pytest.raises(Fault, match="holds other tensors than the run's"):
        distil(folder)
    assert not (tmp_path / "mark").exists()


def test_no_state_holds_a_pickled_description(trained: tuple[Path, torch.Tensor]) -> None:
    names = {path.name for path in trained[0].rglob("*") if path.is_file()}
    assert ".metadata" not in names and "metadata.json" in names
    assert read_metadata(max(trained[0].glob("state-*")) / "tensors").state_dict_metadata


def test_a_damaged_recipe_is_a_sentence(folder: Path) -> None:
    for content in ("{", "[]", "[" * 100_000):
        (folder / "recipe.json").write_text(content)
        with pytest.raises(Fault, match=r"recipe\.json is damaged"):
            distil(folder)

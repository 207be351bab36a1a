"""Damaged JSON, by whatever it was damaged: results count as unreadable, data and logs are refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.data.open import image_set
from benchmarks.tables import runs
from sid.fault import Fault, parsed
from sid.loop.log import Log
from tests import results_tree as tree
from tests.made_images import folder, made

DAMAGED = {
    "empty": b"",
    "cut": b'{"metrics": ',
    "a list": b"[1]",
    "null": b"null",
    "a number": b"3",
    "no text": b"\xff\xfe",
    "deep": b"[" * 100_000,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree.write(tmp_path_factory.mktemp("results"))


def test_what_is_nested_too_deep_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        parsed(DAMAGED["deep"])
    assert parsed('{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("name", ["scores.json", "record.json", "curve.jsonl"])
def test_a_damaged_file_of_a_run_stops_no_table(name: str, damage: str, home: Path) -> None:
    file = sorted(home.rglob(name))[0]
    content = file.read_bytes()
    file.write_bytes(DAMAGED[damage])
    try:
        merged = runs.merge([home])
        curves = {run.folder: run.curve() for run in merged.values()}
    finally:
        file.write_bytes(content)
    faulty = [run.folder for run in merged.values() if run.fault]
    assert faulty == ([file.parent] if name == "scores.json" else []), "without scores there is no result"
    assert name != "curve.jsonl" or curves[file.parent] == []


@pytest.mark.parametrize("damage", sorted(DAMAGED.keys() - {"empty"}))
def test_damaged_labels_are_a_sentence(damage: str, tmp_path: Path) -> None:
    folder(tmp_path / "images", made(2, 8, 8))
    (tmp_path / "images" / "dataset.json").write_bytes(DAMAGED[damage])
    with pytest.raises(Fault, match=r"dataset\.json is no table of labels"):
        image_set(tmp_path / "images")


@pytest.mark.parametrize("damage", sorted(DAMAGED.keys() - {"empty", "no text"}))
def test_a_damaged_log_is_a_sentence_and_a_resumed_run_drops_its_line(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps({"images": 256, "seconds": 1.0, "players": {}}) + "\n"
    log = tmp_path / "log.jsonl"
    log.write_bytes(good.encode() + DAMAGED[damage] + b"\n")
    assert main(["watch", str(tmp_path), "--once"]) == 2
    assert "is no line of a training's log" in capsys.readouterr().err
    Log(log, 256).close()
    assert log.read_text() == good

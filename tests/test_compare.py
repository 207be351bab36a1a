"""Every change between two trees is reported, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.tables.compare import compare
from sid.fault import Fault
from tests import results_tree as tree


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return tree.write(tmp_path / "a").parent, tree.write(tmp_path / "b").parent


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_equal_trees(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for file in pair[1].rglob("record.json"):
        edit(file, seconds=1e6, device="another", commit="0" * 40)
    assert compare(*pair) == []
    assert main(["compare", *map(str, pair)]) == 0
    assert capsys.readouterr().out == "no change\n"


def test_every_kind_of_change(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    base = pair[1] / "mini" / "runs" / "digits-cond"
    shutil.rmtree(base / "sim" / "2")
    edit(base / "dmd" / "0" / "scores.json", metrics={"fd": {"value": 9.0}, "fd-heldout": {"value": 3.3}})
    for seed in tree.SEEDS:
        folder = base / "sid-1.2" / str(seed)
        edit(folder / "scores.json", digest="f" * 12)
        edit(folder / "record.json", versions={"method:sid": 2, "loop": 1})
        recipe = {"method": "sid-1.2", "options": {"alpha": 1.0}, "seed": seed}
        edit(folder / "record.json", recipe=recipe)
    changes = {}
    for change in compare(*pair):
        changes.setdefault(change.where, []).append(change.what)
    assert changes["mini/digits-cond/sim"] == [f"seeds 2 only in {pair[0]}"]
    assert changes["mini/digits-cond/dmd"][0] == "same digest, other scores: the recipe does not decide the result"
    assert any(what.startswith("fd: 2.56 -> ") for what in changes["mini/digits-cond/dmd"])
    assert changes["mini/digits-cond/sid-1.2"] == ["version of method:sid: 1 -> 2", "options.alpha: 1.2 -> 1.0"]
    assert len(changes) == 3
    assert main(["compare", *map(str, pair)]) == 1
    assert "options.alpha: 1.2 -> 1.0" in capsys.readouterr().out


def test_what_a_digest_does_not_know_is_named_beside_other_scores(pair: tuple[Path, Path]) -> None:
    run = pair[1] / "mini" / "runs" / "digits-cond" / "dmd" / "0"
    edit(run / "scores.json", metrics={"fd": {"value": 9.0}, "fd-heldout": {"value": 3.3}})
    edit(
        run / "record.json",
        device="another",
        packages={"torch": "9.9"},
        weights={"teacher": "f" * 64},
        threads={"torch": 2},
    )
    changes = [change.what for change in compare(*pair)]
    assert "packages torch: 2.15.0 -> 9.9" in changes and "device: AMD EPYC -> another" in changes
    assert "threads torch: 1 -> 2" in changes
    assert f"weights teacher: {0:064x} -> {'f' * 64}" in changes


def test_where_inputs_lie_decides_nothing_and_what_they_are_does(pair: tuple[Path, Path]) -> None:
    for home, name in zip(pair, ("a", "b"), strict=True):
        run = home / "mini" / "runs" / "digits-cond" / "dmd" / "0"
        edit(run / "scores.json", digest=name * 12)
        scores = {"prompts": {"name": f"list-{name}"}}
        edit(run / "record.json", recipe={"init": f"{name}/runs", "prompts": f"{name}/prompts", "scores": scores})
    assert [change.what for change in compare(*pair)] == ["scores.prompts.name: list-a -> list-b"]


def test_a_folder_without_results_is_a_sentence(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(Fault, match="holds no results"):
        compare(pair[0], tmp_path / "nowhere")

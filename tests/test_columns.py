"""Every key of a protocol's column gives the same number in a run, by requests, and in `sidbench score --protocol`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.cli import main
from benchmarks.data.open import open_dataset
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Array, Images, open_images
from benchmarks.scoring.protocol import scorer_of
from benchmarks.scoring.requests import Request, request
from benchmarks.scoring.score import FeatureSet, ScoreSettings, score
from benchmarks.suite import components
from benchmarks.suite.protocol import Column, GeometrySection, Protocol, Reference
from tests.made_images import folder, made
from tests.stand_ins import Colours, stand_in

IMAGES = made(60, 16, 23, seed=0)
CAPTIONS = ["a dog", "a much longer caption than that", "two cats"] * 20
ONLY = ["a dog", "two cats"]
TOWER = "clip-vit-b-32"


class Trained(Colours):
    """Stands in for an extractor that is trained in a suite: its folder holds the power it raises block means to."""

    name, outputs, trained_here, data = "digits-classifier", ("features", "logits"), True, "digits"
    power = 1.0

    def trained(self, folder: Path, dataset: Any, device: str = "cpu") -> Trained:
        opened = Trained()
        opened.power = float((folder / "power").read_text())
        return opened

    def __call__(self, prepared: Any) -> dict[str, np.ndarray]:
        return {"features": (prepared.numpy() / 255) ** self.power}


@dataclass
class Case:
    """A column, another that differs in one key, and the other's number asked for without any protocol."""

    plain: dict[str, Any]
    change: dict[str, Any]
    by_hand: Request
    reference: str | None = "a"  # the folder below `tmp_path`, or a split of the shapes
    rows: list[int] = field(default_factory=lambda: list(range(60)))
    seed: int = 0  # of the trained extractor's folder
    moves: bool = True  # whether the key decides the number


def cases() -> dict[str, Case]:
    fid = {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": "a", "split": "all"}}
    clip = {"metric": "clip-score", "features": f"{TOWER}.image"}
    trained = {**fid, "metric": "frechet", "features": "digits-classifier.features"}
    shapes = {**fid, "reference": {"data": "shapes", "split": "train"}}
    frechet = {**fid, "metric": "frechet"}
    logits, small = "inception-tf.logits_unbiased", {"side": 8}
    rows = [row for row, caption in enumerate(CAPTIONS) if caption in ONLY]

    def geometry(*given: Any) -> Request:
        return request("fid", geometry=Geometry(*given))

    return {
        "metric": Case(fid, {"metric": "kid"}, request("kid")),
        "features": Case(frechet, {"features": logits}, request("frechet", reads=logits)),
        "reference.data": Case(fid, {"reference": {"data": "b", "split": "all"}}, request("fid"), "b"),
        "reference.split": Case(shapes, {"reference": {"data": "shapes", "split": "novel"}}, request("fid"), "novel"),
        "decimals": Case(fid, {"decimals": 5}, request("fid"), moves=False),
        "tolerance": Case(fid, {"tolerance": 0.5}, request("fid"), moves=False),
        "options": Case(fid, {"options": {"ddof": 0}}, request("fid", {"ddof": 0})),
        "options.template": Case(
            clip, {"options": {"template": "A dog "}}, request("clip-score", {"template": "A dog "}, TOWER), None
        ),
        "geometry.crop": Case(fid, {"geometry": {"crop": "centre"}}, geometry("centre")),
        "geometry.side": Case(fid, {"geometry": small}, geometry("none", 8)),
        "geometry.filter": Case(
            {**fid, "geometry": small}, {"geometry": {**small, "filter": "box"}}, geometry("none", 8, "box")
        ),
        "geometry.rounding": Case(
            {**fid, "geometry": {"crop": "centre"}},
            {"geometry": {"crop": "centre", "rounding": "half-even"}},
            geometry("centre", 0, "lanczos", "half-even"),
        ),
        "note": Case(fid, {"note": "of a reader's interest"}, request("fid"), moves=False),
        "seed": Case(trained, {"seed": 1}, request("frechet", reads="digits-classifier.features"), seed=1),
        "only": Case(fid, {"only": {"file": "only.txt"}}, request("fid"), rows=rows),
        "only, with captions": Case(clip, {"only": {"file": "only.txt"}}, request("clip-score", {}, TOWER), None, rows),
    }


KEYS = list(cases())


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of images and of trained extractors, captions, and small networks in the published ones' places."""
    stand_in(monkeypatch, TOWER)
    known = {**components.extractors(), "digits-classifier": Trained()}
    monkeypatch.setattr(components, "extractors", lambda: known)
    monkeypatch.chdir(tmp_path)
    for name, images in (("images", IMAGES), ("a", made(64, 16, 23, seed=1)), ("b", made(70, 16, 24, seed=2))):
        folder(tmp_path / name, images)
    for seed in (0, 1):
        (tmp_path / f"trained-{seed}").mkdir()
        (tmp_path / f"trained-{seed}" / "power").write_text(str(1 + seed))
    (tmp_path / "captions.txt").write_text("".join(f"{caption}\n" for caption in CAPTIONS))
    (tmp_path / "only.txt").write_text("".join(f"{caption}\n" for caption in ONLY))


def protocol(column: dict[str, Any]) -> Protocol:
    return Protocol.model_validate({"name": "own", "samples": 60, "batch": 25, "metrics": {"column": column}})


WEIGHTS = {"digits-classifier": Path("trained-0"), "digits-classifier@1": Path("trained-1")}


def in_a_run(column: dict[str, Any]) -> float:
    """The scorer of a run, in portions."""
    scorer, features = scorer_of(protocol(column), ScoreSettings(weights=WEIGHTS)), FeatureSet()
    for first in range(0, 60, 25):
        scorer.look(IMAGES[first : first + 25], CAPTIONS[first : first + 25], features)
    values = scorer.values(features)
    assert scorer.unavailable == {}
    return values["column"]


def by_requests(case: Case) -> float:
    """Without a protocol: the images that are scored, the reference's images, the network's file."""
    reference: Images | None = None
    if case.reference is not None:
        here = Path(case.reference)
        reference = open_images(here) if here.exists() else open_dataset("shapes").source(case.reference)
    settings = ScoreSettings(weights={"digits-classifier": Path(f"trained-{case.seed}")})
    captions = [CAPTIONS[row] for row in case.rows]
    result = score(Array(IMAGES[case.rows]), {"column": case.by_hand}, reference, captions, settings)
    assert result.unavailable == {}
    return result.scores["column"].value


def by_protocol(column: dict[str, Any], *more: str) -> float:
    """The command line."""
    Path("own.yaml").write_text(yaml.safe_dump(protocol(column).model_dump(mode="json")))
    words = ["score", "images", "--protocol", "own.yaml", "--captions", "captions.txt", "--json", "scores.json"]
    weights = ["--weights", *(f"{name}={path}" for name, path in WEIGHTS.items())]
    assert main(["--results", "results", *words, *weights, "--required", *more]) == 0
    return float(json.loads(Path("scores.json").read_text())["metrics"]["column"]["value"])


def placed(column: dict[str, Any]) -> dict[str, Any]:
    """A folder is a data set by its path, which has a slash."""
    if column.get("reference", {}).get("data") in ("a", "b"):
        return {**column, "reference": {**column["reference"], "data": "./" + column["reference"]["data"]}}
    return column


def test_every_key_has_a_case() -> None:
    """A new key of a column must be read by every way of scoring; where its prompts come from is tested elsewhere."""
    nested = {"geometry": GeometrySection, "reference": Reference}
    keys = {key for key in Column.model_fields if key not in nested}
    keys |= {f"{key}.{inner}" for key, model in nested.items() for inner in model.model_fields}
    assert keys <= set(KEYS), f"no case for {', '.join(sorted(keys - set(KEYS)))}"


@pytest.mark.parametrize("key", KEYS)
def test_a_key_decides_the_same_number_in_all_three_ways(key: str) -> None:
    case = cases()[key]
    column = placed({**case.plain, **case.change})
    value = in_a_run(column)
    assert value == by_requests(case) == by_protocol(column)
    assert (value != in_a_run(placed(case.plain))) == case.moves


def test_a_reference_given_by_hand_stands_in_the_place_of_the_data_set() -> None:
    column = placed(cases()["geometry.side"].plain)
    assert by_protocol(column) == by_protocol(column, "--reference", "a") != by_protocol(column, "--reference", "b")


def test_without_captions_or_data_a_column_is_unavailable_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = placed(cases()["only"].plain)
    columns = {
        "all": plain,
        "some": {**plain, "only": {"file": "only.txt"}},
        "gone": {**plain, "reference": {"data": "./gone", "split": "all"}},
        "trained": {**plain, "metric": "frechet", "features": "digits-classifier.features", "seed": 3},
    }
    content = {"name": "own", "samples": 60, "metrics": columns}
    Path("own.yaml").write_text(yaml.safe_dump(content))
    assert main(["score", "images", "--protocol", "own.yaml"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "unavailable" not in lines["all"] and "give --captions" in lines["some"]
    assert "gone" in lines["gone"] and "digits-classifier@3=" in lines["trained"]

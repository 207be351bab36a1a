"""Long samplings: the same features in one go, in shards, after a kill, and by several processes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.run import samples
from benchmarks.run.samples import SampleSource
from benchmarks.scoring.protocol import scorer_of
from benchmarks.scoring.score import Scorer, ScoreSettings
from benchmarks.suite.protocol import Protocol
from sid.condition import Condition, Unconditional
from sid.draws import Draws
from tests.stand_ins import Colours, stand_in


def protocol(**more: object) -> Protocol:
    score = {"metric": "inception-score", "features": "inception-tf.logits_unbiased", "options": {"splits": 2}}
    return Protocol.model_validate({"name": "p", "samples": 20, "batch": 4, "metrics": {"is": score}, **more})


def source() -> SampleSource:
    def sampler(draws: Draws, condition: Condition, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        return draws.normal("z0", shape, like)

    return SampleSource(sampler, Unconditional(), (3, 8, 8), 1)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def score(folder: Path, **more: object) -> samples.ScoredImages:
    asked = protocol(**more)
    return samples.score_source(source(), asked, scorer_of(asked, ScoreSettings()), 6, folder)


def test_shards_change_nothing(tmp_path: Path) -> None:
    whole, cut = score(tmp_path), score(tmp_path, shard=6, selection={"trials": 2, "rule": "mean"})
    assert not (tmp_path / "seed-9").exists() and len(list(tmp_path.glob("seed-0/*.safetensors"))) == 4
    assert cut.metrics["is"]["details"]["trials"][0] == whole.metrics["is"]["value"]
    assert np.array_equal(whole.images, cut.images) and whole.count == cut.count == 20


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first = score(tmp_path, shard=5)
    assert Colours.seen == 20
    (tmp_path / "seed-0" / "00002.safetensors").unlink()
    (tmp_path / "seed-0" / "00003.safetensors").write_bytes(b"torn")
    again = score(tmp_path, shard=5)
    assert Colours.seen == 30, "two of four shards are made again"
    assert again.metrics == first.metrics and np.array_equal(again.images, first.images)


def test_other_weights_take_nothing_from_a_shard(tmp_path: Path) -> None:
    score(tmp_path, shard=5)
    asked = protocol(shard=5)
    samples.score_source(source(), asked, scorer_of(asked, ScoreSettings(random_weights=3)), 6, tmp_path)
    assert Colours.seen == 40


def test_processes_share_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = score(tmp_path / "alone", shard=5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        monkeypatch.setenv("RANK", rank)
        assert next(iter(samples.shard_order(4))) == int(rank)
        assert sorted(samples.shard_order(5)) == list(range(5)), "nobody is waited for"
    before = Colours.seen
    both = score(tmp_path / "both", shard=5)
    assert both.metrics == alone.metrics and Colours.seen == before + 20
    ours, theirs = (sorted((tmp_path / name / "seed-0").glob("*")) for name in ("alone", "both"))
    assert [file.read_bytes() for file in ours] == [file.read_bytes() for file in theirs]


def test_a_helper_makes_shards_and_scores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scorer, "score", lambda *_: pytest.fail("the first process alone scores"))
    for number, told in enumerate(({"shard": 5, "selection": {"trials": 2, "rule": "mean"}}, {}, {"shard": 20})):
        asked, folder = protocol(**told), tmp_path / str(number)
        samples.sample_shards(source(), asked, scorer_of(asked, ScoreSettings()), folder, 6)
        assert len(list(folder.glob("*/*.safetensors"))) == (8 if number == 0 else 0)
    assert Colours.seen == 40


def test_images_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    scored = score(tmp_path, shard=8, keep_images=True)
    files = sorted((tmp_path / "seed-0").glob("*.zip"))
    assert len(files) == 3
    with zipfile.ZipFile(files[1]) as archive:
        assert archive.namelist()[0] == "00000008.png"
        assert json.loads(archive.read("images.json"))["first"] == 8
    assert scored.metrics == score(tmp_path / "streamed", shard=8).metrics, "quantised identically either way"

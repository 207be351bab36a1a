"""What a suite reads from outside: data by name or path, prompts, references; all that is missing is told at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks.cli import main
from benchmarks.data import prompts
from benchmarks.features.store import Store
from benchmarks.run import embeddings
from benchmarks.run.samples import SampleSource
from benchmarks.scoring.protocol import scorer_of
from benchmarks.scoring.score import ScoreSettings
from benchmarks.suite.plan import load_plan
from benchmarks.suite.protocol import Prompts, Protocol
from sid.condition import Unconditional
from sid.fault import Fault
from tests.datasets.made_files import cifar
from tests.stand_ins import Colours, stand_in

ROOT = Path(__file__).parents[1]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without any data, and a small CIFAR-10 that only its path names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIDBENCH_DATA", raising=False)
    (tmp_path / "given").mkdir()
    return cifar(tmp_path / "given" / "cifar-10-python.tar.gz", 4)[0]


def protocol(data: str, **more: object) -> Protocol:
    metrics = {
        "fid": {"metric": "fid", "features": "inception-tf.pool3", "reference": {"data": data, "split": "train"}}
    }
    return Protocol.model_validate({"name": "p", "samples": 4, "batch": 4, "metrics": metrics, **more})


def suite(data: str) -> str:
    """A small suite on images of a data set; the file's name."""
    teacher = {"family": "mlp", "data": data, "network": {"width": 8, "depth": 1}}
    made = {
        "name": "own",
        "seeds": [0],
        "teachers": {"t": {**teacher, "training": {"images": 20, "batch": 10}}},
        "tasks": {"one": {"teacher": "t", "protocol": "p", "prompts": {"name": "hpsv2"}}},
        "entries": {"untrained": {"control": "untrained"}},
        "protocols": {"p": protocol(data).model_dump(mode="json")},
    }
    Path("own.yaml").write_text(yaml.safe_dump(made))
    return "own.yaml"


def test_a_data_set_at_a_path_is_another_input_under_the_same_version(elsewhere: Path) -> None:
    by_name, by_path = (load_plan(suite(name)) for name in ("cifar10", f"cifar10@{elsewhere}"))
    assert {job.kind for job in by_path.jobs} == {job.kind for job in by_name.jobs}
    ours, theirs = (plan.find("run", "one/untrained/0") for plan in (by_path, by_name))
    assert ours.versions == theirs.versions and ours.digest != theirs.digest
    assert load_plan(suite("not/there")).of("run"), "a path is planned whatever lies there"
    with pytest.raises(Fault, match="unknown data set 'cifar11'; did you mean 'cifar10'"):
        load_plan(suite("cifar11"))


def test_a_suite_is_planned_without_its_data_and_told_what_is_missing(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", suite("cifar10"), "--jobs"]) == 0
    said = capsys.readouterr().out
    assert "run " in said and said.count("missing: ") == 3
    assert "cifar10 lacks the images" in said and "hpsv2 lacks" in said


def test_no_job_starts_where_data_is_missing(elsewhere: Path) -> None:
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]

    def call(*flags: str) -> subprocess.CompletedProcess[str]:
        told = [*words, *flags, "--config", f"suite={suite('cifar10')}"]
        return subprocess.run(told, capture_output=True, text=True, timeout=60)

    assert call("-n").returncode == 0
    done = call()
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "cifar10 lacks" in said and "hpsv2 lacks" in said
    assert not Path("results/_shared/teacher").exists() or not list(Path("results/_shared/teacher").iterdir())


def test_references_are_seen_once_for_all_runs(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    images = np.random.default_rng(0).integers(0, 256, (30, 3, 32, 32), np.uint8)
    asked = protocol(f"cifar10@{elsewhere}")
    scores = []
    for expected in (20 + 30, 20 + 30 + 30):
        scores.append(scorer_of(asked, ScoreSettings(store=Store(Path("features")))).score(images)["fid"].value)
        assert Colours.seen == expected, "the twenty references, then nothing but the images"
    assert scores[0] == scores[1]


def test_a_short_list_of_prompts_starts_again_and_a_long_one_is_cut(elsewhere: Path) -> None:
    Path("list.txt").write_text("one\ntwo\nthree\n")
    for count, expected in ((2, ["one", "two"]), (3, ["one", "two", "three"]), (7, ["one", "two", "three"])):
        listed = prompts.prompt_list(Prompts(file="list.txt", count=count))
        assert listed == expected
    said = embeddings.Captions(listed, Unconditional()).of(range(2, 5))
    assert said == ["three", "one", "two"]
    with pytest.raises(Fault, match="3 prompts, prompts has 7: 4 are missing"):
        prompts.prompt_list(Prompts(file="list.txt", count=7, sha256="0" * 64))


def source(side: int, bound: bool = True) -> SampleSource:
    def sampler(draws: object, condition: object, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        return torch.linspace(-1, 1, side * side).view(1, 1, side, side).expand(4, 3, side, side)

    return SampleSource(sampler, Unconditional(), (3, side, side), 1, bound=bound)


def test_pictures_of_another_size_are_refused_and_files_are_as_the_protocol_says(elsewhere: Path) -> None:
    ruled = protocol("cifar10", rules={"size": 16, "file": "jpeg-75"})
    with pytest.raises(Fault, match="pictures of 8 pixels, and the protocol p scores those of 16"):
        next(source(8).portions(ruled, 0))
    assert next(source(8, bound=False).portions(ruled, 0))[0].shape == (4, 3, 8, 8), "a published one has its own size"
    passed = next(source(16).portions(ruled, 0))[0]
    plain = next(source(16).portions(protocol("cifar10", rules={"size": 16}), 0))[0]
    assert passed.shape == plain.shape and 0 < np.abs(passed.astype(int) - plain).mean() < 4

"""Every word of the user is text: folders and files of any name, through the shell and Snakemake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.machine import config_words
from sid.fault import Fault
from tests.test_workflow import ROOT, Place, _call

AWKWARD = (
    "2025_11_27",
    "no",
    "a 'b' \"c\"",
    "x; touch broken && false",
    "ünï ✓",
    "-dash",
    "{digest} {{x}} {",
    "$HOME `id` # *?",
)


@pytest.mark.parametrize("name", AWKWARD)
def test_results_land_in_the_folder_of_that_name(name: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    words = [sys.executable, "-m", "benchmarks", f"--results={name}", "reproduce", "suite.yaml"]
    done = _call(place, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in place.folder.iterdir()} == {name, "suite.yaml", "stand_in", ".snakemake"}
    assert (place.folder / name / "own" / "report" / "index.html").is_file()
    assert f"page:   {name}/own/report/index.html" in done.stdout and ".snakemake" not in done.stdout
    assert "nothing to do" in _call(place, *words).stdout


def test_a_suites_file_may_have_any_name(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    name = "-a {b} 'c'; d.yaml"
    place.suite.rename(place.folder / name)
    words = [sys.executable, "-m", "benchmarks", "reproduce", f"./{name}"]
    environment = place.environment(SUITE_FILE=f"./{name}")
    done = subprocess.run(words, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["suites=smoke"], "unknown key of --config 'suites'; did you mean 'suite'?"),
        (["suite=smoke", "result=x", "seeds=3"], "did you mean 'results'?"),
        (["results="], "--config results: is empty"),
    ],
)
def test_wrong_words_of_config_are_refused(words: list[str], sentence: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snakemake", "-n", "--directory", str(tmp_path), "--config", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and sentence in done.stdout + done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "results").exists()


def test_a_number_in_a_configuration_file_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    with pytest.raises(Fault, match="results: 20251127 is no text"):
        config_words.texts({"results": 20251127}, ["results=20251127"])
    texts = config_words.texts({"results": "x"}, ["results='x'"])
    assert texts == {"suite": "mini", "results": "x", "rows": "", "gpus": ""}
    with pytest.raises(Fault, match="gpus: 'two' is no whole number"):
        config_words.texts({"gpus": "two"}, ["gpus=two"])
    monkeypatch.setattr(sys, "argv", ["snakemake", "--config", "results=2025_11_27"])
    assert config_words.texts({"results": 20251127}, ["results=2025_11_27"])["results"] == "2025_11_27"


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J"])
def test_names_that_no_line_can_show_are_refused(name: str, capsys: pytest.CaptureFixture[str], bare: None) -> None:
    assert main([f"--results={name}", "plan", "smoke", "--jobs"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not list(Path().iterdir())

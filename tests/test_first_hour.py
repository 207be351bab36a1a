"""docs/first-hour.md word for word: every command of the three paths, on small inputs."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

import baselines
from benchmarks.cli import main
from benchmarks.suite import components
from tests.made_images import folder, made

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.usefixtures("bare")


def commands(heading: str) -> list[list[str]]:
    """The lines of the bash blocks below a heading, as words without comments."""
    section = re.search(rf"^#+ {re.escape(heading)}.*?(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    blocks = re.findall(r"```bash\n(.*?)```", section[0], flags=re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line.strip()]


def said(capsys: pytest.CaptureFixture, words: list[str], status: int = 0) -> str:
    """What the command prints; it must leave with that status."""
    assert words[0] == "sidbench"
    try:
        left = main(words[1:])
    except SystemExit as exit:
        left = int(exit.code or 0)
    output = capsys.readouterr()
    assert left == status, f"{words}: {output.out}\n{output.err}"
    return output.out + output.err


def test_the_first_lines(capsys: pytest.CaptureFixture) -> None:
    activate, version, helped = commands("The first hour")
    assert activate == ["source", ".venv/bin/activate"]
    assert said(capsys, version).startswith("sidbench ")
    assert "by hand:" in said(capsys, helped)


def test_a_folder_of_images(capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is a random one in the published file's place, since no test downloads the file."""
    import torch

    from benchmarks.features.inception import WEIGHT
    from benchmarks.features.networks.inception import random_state

    for number, name in enumerate(("photos", "others")):
        folder(tmp_path / name, made(6, 20, 24, seed=number))
    weights, export, fetch, *rest = commands("I have a folder of images")
    assert "missing" in said(capsys, weights)
    assert export == ["export", "SIDBENCH_WEIGHTS=$PWD/weights"]
    monkeypatch.setenv("SIDBENCH_WEIGHTS", os.path.expandvars(export[1].partition("=")[2]).replace("$PWD", "."))
    assert "1 to fetch" in said(capsys, fetch)
    place = Path(os.environ["SIDBENCH_WEIGHTS"]) / WEIGHT.files[0]
    place.parent.mkdir(exist_ok=True)
    torch.save(random_state(0), place)
    monkeypatch.setitem(WEIGHT.__dict__, "sha256", "")
    printed = [said(capsys, words) for words in rest]
    assert "fid" in printed[0] and "kid" in printed[0] and "unavailable" not in "".join(printed)
    first, last = (re.search(r"^fid +(\S+)", text, flags=re.MULTILINE) for text in (printed[0], printed[2]))
    assert first is not None and last is not None and float(first[1]) == pytest.approx(float(last[1]), rel=1e-4)
    assert Path("scores.json").is_file()


@pytest.fixture
def own_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The new method's file goes into a folder of its own, which counts as one of `baselines`."""
    own = tmp_path / "baselines"
    own.mkdir()
    monkeypatch.setattr(baselines, "__path__", [str(own), *baselines.__path__])
    components.methods.cache_clear()
    yield own
    components.methods.cache_clear()
    __import__("sys").modules.pop("baselines.my_method", None)


@pytest.fixture
def teacher(tmp_path: Path) -> None:
    """The first command's teacher alone: the whole suite is made by the test of the wheel."""
    from benchmarks.run.prepare import prepare
    from benchmarks.suite.plan import load_plan

    prepare(load_plan("smoke").of("teacher")[0], "made by a test", quiet=True)


def test_a_distiller(
    capsys: pytest.CaptureFixture, own_methods: Path, teacher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    smoke, new, *rest = commands("I have an idea for a distiller")
    assert smoke == ["sidbench", "reproduce", "smoke"]
    assert "already trains" in said(capsys, new) and (own_methods / "my_method.py").is_file()
    components.methods.cache_clear()
    first, again, sample, watch, check, plan, data, fetch, reproduce = rest
    assert "2048 images" in said(capsys, first)
    assert "going on from 2048 of 4096 images" in said(capsys, again)
    assert "16 images" in said(capsys, sample) and Path("try.zip").is_file()
    said(capsys, watch)
    (suite,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    Path("my-suite.yaml").write_text(suite)
    assert "no fault" in said(capsys, check)
    assert "h100" in said(capsys, plan).lower()
    assert "cifar10: missing" in said(capsys, data)
    monkeypatch.setenv("SIDBENCH_WEIGHTS", "weights")
    assert "to fetch" in said(capsys, fetch)
    assert "cifar10 lacks the images" in said(capsys, reproduce, status=2)  # no test has CIFAR-10


def test_a_review(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDBENCH_WEIGHTS", "weights")
    published, plan, fetch, data, reproduce, table = commands("I review SiD-LSG")
    assert "SiD-LSG" in said(capsys, published)
    planned = said(capsys, plan)
    assert "gigagan-coco30k" in planned and "sdxl-10k" not in planned
    assert "UT-Austin-PML/SiD-LSG" in said(capsys, fetch)
    assert "coco2014-30k: missing" in said(capsys, data)
    assert "SiD-LSG" in said(capsys, reproduce, status=2)  # the rows' files are on no test's machine
    assert "no finished run" in said(capsys, table, status=2)

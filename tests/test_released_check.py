"""`sidbench released check`: made pictures of a tiny pipeline are found again, and others are not."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.cli import main
from benchmarks.run import examples
from benchmarks.suite import released as descriptions
from benchmarks.suite.released import Example, Released, describe, released
from sid.fault import Fault
from sid.sampling import to_uint8
from tests.sid.teachers import tiny_pipelines as tiny
from tests.test_released import SD15, bases, pipeline_with

__all__ = ["bases"]  # the fixture
PROMPTS = ("a red cube", "a blue ball", "a green cone")
SEEDS = (4, 4, 7)
EXAMPLE = Example(name="figure", images="pictures", prompts="prompts.txt", seeds=SEEDS)
NAME = "sid-lsg-sd15-4.5"


@pytest.fixture
def tiny_release(bases: dict[str, Path], tmp_path: Path) -> tuple[Released, Path, dict[str, Path]]:
    """A tiny SiD-LSG file, and its pictures made by plain diffusers with one torch generator a seed."""
    described = describe(NAME).model_copy(update={"resolution": 2 * tiny.SIZE, "examples": (EXAMPLE,)})
    assert described.repository and described.file
    weights, code = tmp_path / "weights", tmp_path / "code"
    weights.mkdir()
    (code / "pictures").mkdir(parents=True)
    student = tiny.unet(16, 5).eval()
    (weights / described.file).write_bytes(pickle.dumps({"ema": student}))
    pipeline = pipeline_with(bases[SD15], student)
    alpha = pipeline.scheduler.alphas_cumprod[625]
    (code / "prompts.txt").write_text("\n\n".join(PROMPTS) + "\n")
    for index, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True)):
        z = torch.randn(1, 4, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            text, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
            x_t = (1 - alpha).sqrt() * z
            eps = student(x_t, torch.tensor([625]), encoder_hidden_states=text).sample
            x = (x_t - (1 - alpha).sqrt() * eps) / alpha.sqrt()
            image = pipeline.vae.decode(x / pipeline.vae.config.scaling_factor).sample
        Image.fromarray(to_uint8(image)[0].permute(1, 2, 0).numpy()).save(code / "pictures" / f"{index:06d}.png")
    return described, code, {described.repository: weights, SD15: bases[SD15]}


def test_the_publishers_pictures_are_made_again(tiny_release, tmp_path: Path) -> None:
    described, code, places = tiny_release
    matches = examples.compare(described, EXAMPLE, code, places, tmp_path / "state", "cpu")
    assert [(match.name, match.seed) for match in matches] == [(f"{i:06d}.png", SEEDS[i]) for i in range(3)]
    assert all(match.same and match.largest <= 1 for match in matches), matches


def test_another_seed_prompt_or_weight_is_another_picture(tiny_release, tmp_path: Path) -> None:
    described, code, places = tiny_release
    other = EXAMPLE.model_copy(update={"seeds": (4, 5, 7)})
    matches = examples.compare(described, other, code, places, tmp_path / "state", "cpu")
    assert [match.same for match in matches] == [True, False, True]
    # The first two share their seed: what tells them apart is the prompt, and the nearest other picture.
    (code / "prompts.txt").write_text("\n".join((PROMPTS[1], PROMPTS[0], PROMPTS[2])))
    swapped = examples.compare(described, EXAMPLE, code, places, tmp_path / "state", "cpu")
    assert [match.same for match in swapped] == [False, False, True]
    assert described.repository and described.file
    (places[described.repository] / described.file).write_bytes(pickle.dumps({"ema": tiny.unet(16, 6).eval()}))
    matches = examples.compare(described, EXAMPLE, code, places, tmp_path / "other", "cpu")
    assert not any(match.same for match in matches)


def test_what_does_not_fit_is_a_sentence(tiny_release, tmp_path: Path) -> None:
    described, code, places = tiny_release
    short = EXAMPLE.model_copy(update={"seeds": (4,)})
    with pytest.raises(Fault, match="holds 3 pictures, and its description names 1 seeds"):
        examples.compare(described, short, code, places, tmp_path / "state", "cpu")
    (code / "prompts.txt").write_text("a red cube\n")
    with pytest.raises(Fault, match="has 1 prompts"):
        examples.compare(described, EXAMPLE, code, places, tmp_path / "state", "cpu")


def test_decibels() -> None:
    black = np.zeros((3, 4, 4), np.uint8)
    assert examples.psnr(black, black) == math.inf
    assert examples.psnr(black, black + 255) == pytest.approx(0.0)
    assert examples.psnr(black, black + 1) == pytest.approx(20 * math.log10(255))
    assert examples.psnr(black, np.zeros((3, 2, 2), np.uint8)) == -math.inf


def test_the_verb(tiny_release, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    described, code, places = tiny_release
    monkeypatch.setattr(descriptions, "describe", lambda _: described)
    words = [f"--place={repository}={folder}" for repository, folder in places.items()]
    call = ["--results", str(tmp_path / "results"), "released", "check", NAME, "--code", str(code), "--device", "cpu"]
    assert main([*call, *words]) == 0
    shown = capsys.readouterr().out
    assert "on cpu it is another" in shown and shown.count("the same picture") == 3 and "all pictures agree" in shown
    (code / "prompts.txt").write_text("\n".join((PROMPTS[1], PROMPTS[0], PROMPTS[2])))
    assert main([*call, *words]) == 1 and "ANOTHER PICTURE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sid-lsg-sd15-2"], "names no published pictures; with some: sid-lsg-sd15-4.5, sid-lsg-sd21-4.5"),
        (["sid-lsg-sd15-4.5", "--example", "figure-7"], "has no example 'figure-7'; it has figure-6"),
        (["sid-lsg-sd15-4.5", "--place", "a/b=nowhere"], "--place takes REPO=DIR"),
        (["sid-lsg-sd15-45"], "did you mean 'sid-lsg-sd15-4.5'?"),
    ],
)
def test_a_wrong_call(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["released", "check", *words, "--code", "x"]) == 2
    assert sentence in capsys.readouterr().err


def test_all_thirty_three_of_sidas_files_are_described() -> None:
    files = {its.file for its in released().values() if its.repository == "UT-Austin-PML/SiDA"}
    assert len([file for file in files if file and file.startswith("EDM_distillation/")]) == 15
    assert len([file for file in files if file and file.startswith("EDM2_distillation/")]) == 18


def test_what_cannot_be_opened_says_why_before_anything_is_looked_for() -> None:
    from benchmarks.run.released import open_released

    for name in ("sida-edm2-xs", "sid-dit-flux-4step"):
        with pytest.raises(Fault, match=f"{name} is described and cannot be opened here: no "):
            open_released(describe(name))


def test_a_suite_that_asks_for_it_is_at_fault(tmp_path: Path) -> None:
    from benchmarks.suite.load import load_suite

    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\nextends: cifar10\ntasks: {cifar10-cond: {entries: {theirs: {released: sida-edm2-xs}}}}\n"
    )
    with pytest.raises(Fault, match="'sida-edm2-xs' cannot be opened here"):
        load_suite(str(file))

"""The error budget: every change is made to what is scored, and what can't be had here says why."""

import numpy as np
import pytest

from benchmarks.audit.budget import Altered, BudgetCase, _enlarged_and_back, _stored, budget
from benchmarks.cli import main
from benchmarks.images.reading import Array, open_images
from sid.fault import Fault
from tests.made_images import folder, made
from tests.stand_ins import stand_in

PIXELS = made(8, 16, 16)


def mean_of(case):
    """A score that sees all that is scored, and another that none can compute."""
    pixels = [np.asarray(case.images.read(at), float).mean() for at in range(len(case.images))]
    reference = len(case.reference) if case.reference else 0
    return {"mean": float(np.mean(pixels)) + reference + (case.precision != "float32"), "other": "no weights"}


def rows(seeds=(), reference=None):
    case = BudgetCase(Array(PIXELS), reference=reference)
    return {table.title: table.rows for table in budget(case, mean_of, seeds, "made")}


def test_each_change_is_a_row_with_its_size():
    table = rows(reference=Array(made(12, 16, 16)))["Error budget of mean"]
    factors = {row.implementation.partition(":")[0] for row in table}
    assert factors == {"as it is", "batch", "threads", "precision", "device", "JPEG", "resize", "samples", "reference"}
    moved = {row.implementation: row.deviation for row in table if row.value is not None}
    assert moved["batch: 1 instead of 32"] == 0 and moved["precision: features of the images in bfloat16"] == 1
    assert moved["reference: 8 of 12"] == -4 and moved["reference: the last 6 of 12"] == -6
    first = np.mean([image.mean() for image in PIXELS[:4]])
    assert moved["samples: half, 4"] == pytest.approx(first - np.mean([image.mean() for image in PIXELS]))


def test_seeds_give_a_digit_its_meaning():
    others = [Array(made(8, 16, 16, seed=seed)) for seed in (1, 2)]
    tables = rows(others)
    values = [
        row.value for row in tables["Error budget of mean"] if row.implementation.startswith("samples of another")
    ]
    spread = np.std([tables["Error budget of mean"][0].value, *values], ddof=1)
    assert f"deviation over 3 seeds {spread:.2g}" in tables["Error budget of mean"][0].note
    assert "were not given" in rows()["Error budget of mean"][0].note
    assert {row.verdict for row in tables["Error budget of other"]} == {"unavailable"}
    with pytest.raises(Fault, match="holds 3 images of another seed, 8 are needed"):
        rows([Array(PIXELS[:3])])


def test_pixels_are_stored_and_resized_as_pillow_does():
    from PIL import Image

    image = Image.fromarray(PIXELS[0].transpose(1, 2, 0))
    for change in (_stored(75), _enlarged_and_back("lanczos")):
        read = Altered(Array(PIXELS), change).read(0)
        assert np.array_equal(read, np.asarray(change(image)).transpose(2, 0, 1))
        assert not np.array_equal(read, PIXELS[0])
    assert np.array_equal(Altered(Array(PIXELS), _enlarged_and_back("box")).read(1), PIXELS[1])


def test_the_verb_scores_by_the_engine(tmp_path, monkeypatch, capsys):
    """Its first row is what `sidbench score` prints."""
    stand_in(monkeypatch)
    images, reference = (folder(tmp_path / name, made(12, 8, 8, seed=seed)) for seed, name in enumerate("ab"))
    words = ["--results", str(tmp_path), "audit", str(images), "--reference", str(reference), "--budget"]
    assert main([*words, "--seeds", str(reference)]) == 0
    printed = capsys.readouterr().out
    from benchmarks.scoring.requests import request
    from benchmarks.scoring.score import score

    value = score(open_images(images), {"fid": request("fid")}, reference).scores["fid"].value
    assert f"{value:.8g}" in printed and "unavailable" in printed and "no GPU here" in printed
    assert (tmp_path / "audit" / "budget.csv").is_file()


def test_mistakes_are_sentences(tmp_path, capsys):
    assert main(["audit", "--budget"]) == 2
    assert "name the images" in capsys.readouterr().err
    assert main(["audit", "--captions", "a.txt"]) == 2
    assert "--captions: only with --budget" in capsys.readouterr().err

"""`sidbench data`: what a suite needs, where it is looked for, every fault at once; references made ready once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.assets import DATA_ENV
from benchmarks.cli import main
from benchmarks.features import extraction
from benchmarks.features.store import Store
from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import open_images
from benchmarks.machine import needs
from benchmarks.metrics.frechet import distance, moments
from benchmarks.metrics.statistics import read_header_and_arrays, read_statistics
from benchmarks.suite.protocol import Column, Prompts, PromptSource, Protocol, Reference
from sid.fault import Fault
from tests.datasets import made_files as made
from tests.stand_ins import Colours, stand_in


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_ENV, f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suite(reference: str = "coco2014", split: str = "val", own: bool = False) -> SimpleNamespace:
    """What of a suite the data verb reads."""
    column = Column(
        metric="fid",
        features="inception-tf.pool3",
        reference=Reference(data=reference, split=split),
        geometry={"crop": "centre", "side": 16},
    )
    prompts = Prompts(name="coco2014-30k", count=30_000)
    protocol = Protocol(name="p", samples=8, prompts=prompts, metrics={"fid": column, "again": column})
    teachers = {"t": SimpleNamespace(data="cifar10"), "published": SimpleNamespace(data=None)}
    prompts_of_task = PromptSource(file="mine.txt") if own else None
    task = SimpleNamespace(teacher="t", protocol="p", prompts=prompts_of_task, real=None)
    rows = [("k", "row", SimpleNamespace(released=None))]
    return SimpleNamespace(teachers=teachers, tasks={"k": task}, protocols={"p": protocol}, rows=rows)


def test_a_suites_needs(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("benchmarks.verbs.data._suite", lambda name: suite())
    by_name = {need.name: need for need in needs.data_of_suite(suite())}
    assert by_name["coco2014"].readers == ["fid of p", "again of p"] and by_name["coco2014"].splits == ["val"]
    assert by_name["cifar10"].readers == ["teacher t"]
    assert by_name["coco2014-30k"].kind == "prompts" and len(needs.references(suite())) == 1
    assert main(["data", "any"]) == 0
    printed = capsys.readouterr().out
    assert (
        "3 of 3 missing" in printed
        and f"looked in {home}/a/coco2014, {home}/a, {home}/b/coco2014, {home}/b, data" in printed
    )
    (home / "b" / "cifar10").mkdir(parents=True)
    path, _, _ = made.cifar(home / "b" / "cifar10" / "cifar-10-python.tar.gz")
    assert main(["data", "any"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 3 missing" in printed and f"found     {path}, {path.stat().st_size:,} bytes" in printed


def test_a_split_asks_for_its_own_files(home: Path) -> None:
    made.coco(home / "a")
    (val,), (subset,) = (
        [need for need in needs.data_of_suite(suite(split=split)) if need.name == "coco2014"]
        for split in ("val", "dmd2-10k")
    )
    assert not val.missing and [file.names[0] for file in subset.missing] == ["coco10k"]


def test_a_suites_own_list_lies_where_it_says(home: Path) -> None:
    (mine,) = (need for need in needs.data_of_suite(suite(own=True)) if need.readers == ["task k"])
    assert [file.names for file in mine.missing] == [("mine.txt",)] and not list(mine.verify())
    assert sum("looked in mine.txt" in sentence for sentence in needs.data_faults(suite(own=True))) == 1
    Path("mine.txt").write_text("one\n\n")
    assert not mine.missing
    assert list(mine.verify()) == ["mine.txt has 1 empty prompts, the first in line 2"]


def test_every_fault_at_once(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("benchmarks.verbs.data._suite", lambda name: suite())
    made.coco(home / "a", year="val2017")
    (home / "a" / "val2017").rename(home / "a" / "val2014")
    (home / "a" / "annotations" / "captions_val2017.json").rename(home / "a" / "annotations" / "captions_val2014.json")
    (home / "b").mkdir()
    (home / "b" / "captions.txt").write_text("one\ntwo\n")
    whole, _, _ = made.cifar(home / "c.tar.gz", each=20)
    (home / "b" / "cifar-10-python.tar.gz").write_bytes(whole.read_bytes()[:-2000])
    assert main(["data", "any", "--verify"]) == 2
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 3
    for part in ("is truncated", "of another year", "holds 2 prompts, coco2014-30k has 30,000"):
        assert any(part in sentence for sentence in messages)
    assert needs.data_faults(suite()) == [line.removeprefix("sidbench: ") for line in messages]


def test_a_reference_is_made_ready_once_and_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr(extraction, "PART_SIZE", 3)
    monkeypatch.setattr("benchmarks.verbs.data._suite", lambda name: suite())
    made.coco(home / "a", count=8)
    whole, broken = extraction.extract, []

    def breaks_off(*arguments, **options):
        if len(broken) == 2:
            raise KeyboardInterrupt
        broken.append(1)
        return whole(*arguments, **options)

    monkeypatch.setattr(extraction, "extract", breaks_off)
    assert main(["--results", "r", "data", "any", "--prepare"]) == 130
    assert Colours.seen == 6
    monkeypatch.setattr(extraction, "extract", whole)
    assert main(["--results", "r", "data", "any", "--prepare"]) == 0
    assert Colours.seen == 8
    assert "8 images" in capsys.readouterr().out
    assert main(["--results", "r", "data", "any", "--prepare"]) == 0
    assert Colours.seen == 8
    assert not list(Path("r/_shared/features").glob("parts-*"))

    digests = list(Path("r/_shared/features").glob("digest-*.json"))
    changed = home / "a" / "val2014" / "COCO_val2014_000000000010.jpg"
    changed.write_bytes(made.png(99, 20, 24, "jpeg"))
    assert main(["--results", "r", "data", "any", "--prepare"]) == 0
    assert Colours.seen == 16  # other images: what was remembered of the old ones is of no use
    assert len(list(Path("r/_shared/features").glob("digest-*.json"))) == len(digests) + 1 == 2

    file = max(Path("r/_shared/statistics").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    header, _ = read_header_and_arrays(file)
    expected = {"geometry": Geometry("centre", 16).identity, "family": header["family"]}
    extractor = Colours().open(None)
    images = open_images(home / "a" / "val2014")
    wanted, opened = {extractor.name: ["pool3"]}, {extractor.name: extractor}
    extracted = extraction.extract_in_parts(images, wanted, opened, Geometry("centre", 16), Store(home / "other"))
    array = extracted.features[f"{extractor.name}.pool3"]
    assert extractor.family == header["family"]
    assert distance(read_statistics(file, expected), moments(array)).value == pytest.approx(0, abs=1e-6)
    with pytest.raises(Fault, match=r"has family .* their distance means nothing"):
        read_statistics(file, {"family": "inception-clean|clean|0"})


def test_what_cannot_be_made_ready_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    stand_in(monkeypatch)
    monkeypatch.setattr("benchmarks.verbs.data._suite", lambda name: suite())
    assert main(["data", "any", "--prepare"]) == 1
    assert (
        "coco2014, val: inception-tf.pool3: left out: coco2014 lacks the images of val2014" in capsys.readouterr().out
    )


def test_everything_and_one_thing_can_be_listed(home: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["data"]) == 0
    printed = capsys.readouterr().out
    for name in ("cifar10: missing", "digits: nothing to fetch", "coco2014-30k: missing", "hpsv2: missing"):
        assert name in printed
    np.save("own.npy", np.zeros((2, 4, 4, 3), np.uint8))
    for name in ("mini", "aesthetic", "./own.npy", "ffhq64"):
        assert main(["data", name]) == 0
    assert main(["data", "cifar100"]) == 2
    assert main(["data", "ffhq64", "--prepare"]) == 2
    printed = capsys.readouterr().err
    assert "did you mean 'cifar10'" in printed and "name a suite" in printed


def test_pictures_without_captions_are_told_before_anything_runs(home: Path) -> None:
    folder = home / "a" / "pictures"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(made.png(number))
    (folder / "0.txt").write_text("a caption")
    with_pairs = suite()
    with_pairs.tasks["k"].real = SimpleNamespace(pairs="data/pictures")
    (need,) = (need for need in needs.data_of_suite(with_pairs) if need.name == "data/pictures")
    assert not need.missing, "it lies in a data folder, where its name is looked for"
    (sentence,) = need.verify()
    assert "3 of 4 images have no caption" in sentence
    with_pairs.tasks["k"].real = SimpleNamespace(pairs="data/nothing")
    assert any("data/nothing lacks real images with captions" in sentence for sentence in needs.data_faults(with_pairs))


def test_a_wrong_annotation_does_not_hide_the_list_of_captions(home: Path) -> None:
    (home / "a" / "prompts").mkdir(parents=True)
    (home / "a" / "prompts" / "captions.txt").write_text("\n".join(f"caption {n}" for n in range(30_000)))
    (home / "a" / "coco2014" / "annotations").mkdir(parents=True)
    (home / "a" / "coco2014" / "annotations" / "captions_val2014.json").write_text("{}")
    faults = needs.data_faults(suite())
    assert any("captions.txt" in sentence and "stripped" in sentence for sentence in faults), faults
    assert len(faults) == len(set(faults))

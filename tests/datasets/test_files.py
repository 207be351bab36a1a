"""Data sets in other people's files: what is read, in which order, and every fault in one sentence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.assets import DATA_ENV, Missing
from benchmarks.data.base import FileDataset
from benchmarks.data.coco2014 import read_annotation
from benchmarks.data.open import datasets, open_dataset
from benchmarks.images.reading import decode, open_checked
from sid.fault import Fault
from tests.datasets import made_files as made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DATA_ENV, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_original_cifar_archive(home: Path) -> None:
    _, images, labels = made.cifar(home / "cifar-10-python.tar.gz")
    cifar = datasets()["cifar10"]
    assert np.array_equal(cifar.images("train"), images[:15]) and np.array_equal(cifar.images("heldout"), images[15:])
    assert cifar.labels("train").tolist() == labels[:15] and cifar.labels("heldout").tolist() == labels[15:]
    assert np.array_equal(decode(cifar.source("train").read(3), "x")[0], images[3])
    with pytest.raises(ValueError, match="read-only"):
        cifar.images("train")[0] = 0


def test_the_cifar_folder_and_the_edm_zip(home: Path) -> None:
    import tarfile

    path, images, _ = made.cifar(home / "x.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(home / "cifar10", filter="data")
    assert np.array_equal(datasets()["cifar10"].images("heldout"), images[15:])
    zipped = open_dataset(f"cifar10@{made.edm_zip(home / 'cifar10-32x32.zip', side=32)}")
    assert zipped.images("train").shape == (6, 3, 32, 32) and zipped.labels("train").tolist() == list(range(6))
    with pytest.raises(Fault, match="holds the split train only"):
        zipped.images("heldout")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02cos\nsystem\nU\x04echo\x85R.", "it names os.system, which no CIFAR-10 batch needs"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "it names builtins.eval"),
        (b"\x80\x02}.", "it holds no data and labels"),
        (b"\x80\x02](K\x01e.", "it holds no table"),
        (made.batch(np.zeros((2, 3, 32, 32), np.uint8), [1]), r"its array is \[2, 3072\] of u1 .* with 1 labels"),
        (made.batch(np.zeros((2, 3, 16, 16), np.uint8), [1, 2]), r"its array is \[2, 768\]"),
        (made.batch(np.zeros((1, 3, 32, 32), np.uint8), [10]), "a label is 10"),
        (made.batch(np.zeros((1, 3, 32, 32), np.uint8), [1])[:-99], "truncated"),
    ],
)
def test_nothing_in_a_batch_runs_and_what_is_wrong_is_said(home: Path, content: bytes, reason: str) -> None:
    path = made.tar(home / "cifar-10-python.tar.gz", {f"c/data_batch_{n}": content for n in range(1, 6)}, "w:gz")
    with pytest.raises(Fault, match=reason) as fault:
        datasets()["cifar10"].images("train")
    assert str(path) in str(fault.value)


def test_a_batch_with_another_count_is_refused(home: Path) -> None:
    pixels = np.zeros((4, 3, 32, 32), np.uint8)
    batches = {
        f"c/data_batch_{n}": made.batch(pixels[: 3 if n == 4 else 4], [1] * (3 if n == 4 else 4)) for n in range(1, 6)
    }
    path = made.tar(home / "cifar-10-python.tar.gz", batches, "w:gz")
    with pytest.raises(Fault, match="hold equally many images, here 4, but data_batch_4 3") as fault:
        datasets()["cifar10"].images("train")
    assert str(path) in str(fault.value)


def test_truncated_archives_are_told_in_a_sentence(home: Path) -> None:
    whole, _, _ = made.cifar(home / "whole.tar.gz", each=20)
    broken = home / "cifar-10-python.tar.gz"
    broken.write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(Fault, match=r"cifar-10-python.tar.gz is truncated or damaged .*: fetch it again"):
        datasets()["cifar10"].images("train")
    for name, content in {
        "ffhq-64x64.zip": made.edm_zip(home / "a.zip", side=64).read_bytes()[:-50],
        "x.tar": made.tar(home / "b.tar", {"1.png": made.png(1), "2.png": made.png(2, 64)}).read_bytes()[:4000],
    }.items():
        (home / name).write_bytes(content)
        with pytest.raises(Fault, match=f"{name} is truncated"):
            open_checked(home / name)


def test_members_that_leave_the_archive_are_refused(home: Path) -> None:
    with zipfile.ZipFile(home / "evil.zip", "w") as archive:
        archive.writestr("../../out.png", made.png(0))
    for path in (home / "evil.zip", made.tar(home / "evil.tar", {"/absolute/out.png": made.png(0)})):
        with pytest.raises(Fault, match="names a file outside of itself"):
            open_checked(path)


@pytest.mark.parametrize("name", ["imagenet64", "ffhq64", "afhqv2-64"])
def test_edm_zips(home: Path, name: str) -> None:
    dataset = datasets()[name]
    assert isinstance(dataset, FileDataset)
    with pytest.raises(
        Missing, match=f"{dataset.files[0].names[0]}.*looked in {home}/{name}, {home}, data/{name}, data"
    ):
        dataset.images("train")
    made.edm_zip(home / dataset.files[0].names[0], side=64)
    assert dataset.images("train").shape == (6, 3, 64, 64)
    if dataset.classes:
        assert dataset.labels("train").tolist() == list(range(6))
    else:
        with pytest.raises(TypeError, match="no labels"):
            dataset.labels("train")


def test_labels_and_sizes_are_checked(home: Path) -> None:
    made.edm_zip(home / "imagenet-64x64.zip", side=32, labels=False)
    imagenet = datasets()["imagenet64"]
    with pytest.raises(Fault, match="32 x 32 pixels, imagenet64 has 64 x 64"):
        imagenet.images("train")
    with pytest.raises(Fault, match=r"dataset.json is missing or holds none"):
        imagenet.labels("train")
    with pytest.raises(Fault, match="a label is 11, cifar10 has 10 classes"):
        open_dataset(f"cifar10@{made.edm_zip(home / 'cifar10.zip', 12, classes=99)}").labels("train")
    with pytest.raises(Fault, match="unknown split of imagenet64 'trian'; did you mean 'train'"):
        imagenet.source("trian")


def test_hugging_faces_parquet_of_cifar(home: Path) -> None:
    folder = home / "cifar10" / "plain_text"
    pixels, labels = made.parquet(folder, "train", 2)
    images, _ = made.parquet(folder, "test", 1)
    cifar = datasets()["cifar10"]
    assert np.array_equal(cifar.images("train"), pixels) and cifar.labels("train").tolist() == labels
    assert np.array_equal(cifar.images("heldout"), images)
    assert np.array_equal(open_dataset(f"cifar10@{folder}").images("train"), pixels), "given by its path too"


def test_damaged_parquet_is_one_sentence(home: Path) -> None:
    def refused(folder: Path, words: str) -> None:
        with pytest.raises(Fault, match=words) as raised:
            open_dataset(f"cifar10@{folder}").images("train")
        assert len(raised.value.sentences) == 1 and "\n" not in raised.value.sentences[0]

    def folder(name: str) -> Path:
        return home / name / "plain_text"

    made.parquet(folder("a"), "test", 1)
    refused(folder("a"), r"has no train-\*.parquet")
    made.parquet(folder("b"), "train", 2)
    (folder("b") / "train-00001-of-00002.parquet").unlink()
    refused(folder("b"), "has 1 of 2 parquet files")
    made.parquet(folder("c"), "train", 1)
    file = folder("c") / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    refused(folder("c"), "can't be read as parquet")
    made.parquet(folder("d"), "train", 1, label="kind")
    refused(folder("d"), "has no column label")
    made.parquet(folder("e"), "train", 1, side=16)
    refused(folder("e"), r"row 0 has the shape \[3, 16, 16\], expected \[3, 32, 32\]")


def test_coco_must_be_what_its_annotation_lists(home: Path) -> None:
    captions = made.coco(home)
    coco = datasets()["coco2014"]
    assert len(coco.source("val")) == 4
    assert coco.captions("val") == captions[::3]  # of each image the one with the smallest id
    assert read_annotation(home / "annotations/captions_val2014.json").all_captions == captions
    extra = home / "val2014" / "COCO_val2014_000000000099.jpg"
    extra.write_bytes(made.png(9))
    (home / "val2014" / "COCO_val2014_000000000010.jpg").unlink()
    with pytest.raises(
        Fault, match=r"1 are missing, the first is COCO_.*10.jpg; 1 are not listed, the first is COCO_.*99"
    ):
        open_dataset(f"coco2014@{home}").source("val")
    (home / "annotations/captions_val2014.json").unlink()
    with pytest.raises(Fault, match="holds 4 images, the split val has 40,504"):
        coco.source("val")
    with pytest.raises(Fault, match="they are streamed"):
        coco.images("val")


def test_an_annotation_of_another_year_or_kind(home: Path) -> None:
    made.coco(home, year="val2017")
    file = home / "annotations/captions_val2017.json"
    with pytest.raises(Fault, match=r"is of another year or split: it lists COCO_val2017_000000000010.jpg"):
        read_annotation(file)
    annotation = json.loads(file.read_text())
    for name, content, sentence in [
        ("a.json", json.dumps(annotation)[:-9], "no valid JSON: it is truncated"),
        ("b.json", json.dumps({"images": []}), "no readable images and annotations"),
        (
            "c.json",
            json.dumps({**annotation, "annotations": [{"id": 1, "image_id": 10}]}),
            "annotations without captions",
        ),
        (
            "d.json",
            json.dumps({**annotation, "images": annotation["images"][1:]}),
            "of image 10, which it does not list",
        ),
        (
            "e.json",
            json.dumps({**annotation, "annotations": annotation["annotations"][:3]}),
            "3 images have no caption",
        ),
    ]:
        (home / name).write_text(content)
        with pytest.raises(Fault, match=sentence):
            read_annotation(home / name)


def test_any_images_by_their_path(home: Path) -> None:
    made.edm_zip(home / "own.zip", 5, classes=3)
    own = open_dataset(str(home / "own.zip"))
    assert own.shape == (3, 8, 8) and own.classes == 3 and own.labels("all").tolist() == [0, 1, 2, 0, 1]
    assert own.images("train").shape == (5, 3, 8, 8) and not own.captioned
    np.savez(home / "own.npz", images=np.zeros((2, 4, 4, 3), np.uint8))
    assert open_dataset(str(home / "own.npz")).images("all").shape == (2, 3, 4, 4)
    with pytest.raises(Fault, match="there is no data set at"):
        open_dataset("./nowhere")
    with pytest.raises(Fault, match="unknown data set 'cifar'; did you mean 'cifar10'"):
        open_dataset("cifar")
    with pytest.raises(Fault, match="is made here: it lies at no path"):
        open_dataset("digits@here")
    with pytest.raises(Fault, match=r"cifar10 lacks the images .* looked in nowhere.zip;"):
        open_dataset("cifar10@nowhere.zip").images("train")


def test_mjhq_has_ten_categories_as_splits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.data import mjhq30k

    monkeypatch.setattr(mjhq30k, "EACH", 2)
    entries = {
        f"{number:04x}": {"category": category, "prompt": f"{category} {number}"}
        for number, category in enumerate([*mjhq30k.CATEGORIES, *mjhq30k.CATEGORIES])
    }
    with zipfile.ZipFile(home / "mjhq30k_imgs.zip", "w") as archive:
        for number, (name, entry) in enumerate(entries.items()):
            archive.writestr(f"mjhq30k_imgs/{entry['category']}/{name}.jpg", made.png(number, form="jpeg"))
    (home / "meta_data.json").write_text(json.dumps(entries))
    mjhq = datasets()["mjhq30k"]
    assert len(mjhq.source("test")) == len(mjhq.captions("test")) == 20
    assert sorted(mjhq.captions("food")) == ["food 13", "food 3"]
    assert all("/food/" in name for name in mjhq.source("food").names)
    entries["0000"]["category"] = "art"
    (home / "other.json").write_text(json.dumps(entries))
    with pytest.raises(Fault, match="2 prompts in each of 10 categories: animals 1, art 3"):
        mjhq30k.read_metadata(home / "other.json")

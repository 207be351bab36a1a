"""Lists of prompts: read as they are, proved by sha256, restored from the annotation, every fault with its cause."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.assets import DATA_ENV
from benchmarks.data import prompts
from sid.fault import Fault
from tests.datasets import made_files as made

REAL = "coco2014_captions_30k.txt"


@pytest.fixture
def captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A small list in the place of the 30,000; some captions end with a blank."""
    monkeypatch.setenv(DATA_ENV, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    listed = made.coco(tmp_path)[::2]
    small = replace(
        prompts.LISTS["coco2014-30k"],
        count=len(listed),
        sha256=prompts.digest(listed),
        outer_blanks=sum(caption != caption.strip() for caption in listed),
    )
    assert small.outer_blanks
    monkeypatch.setitem(prompts.LISTS, "coco2014-30k", small)
    return listed


def written(captions: list[str], name: str = "captions.txt", end: str = "\n") -> Path:
    path = Path(name)
    path.write_bytes("".join(f"{caption}{end}" for caption in captions).encode())
    return path


def without_annotation() -> None:
    Path("annotations/captions_val2014.json").unlink()


def test_the_list_is_read_with_its_blanks(captions: list[str]) -> None:
    written(captions)
    assert prompts.read("coco2014-30k") == captions
    written(captions, end="\r\n")
    assert prompts.read("coco2014-30k") == captions
    Path("captions.txt").unlink()
    Path("captions_coco14_test.pkl").write_bytes(pickle.dumps(captions))
    assert prompts.read("coco2014-30k") == captions


def test_a_stripped_list_is_restored_from_the_annotation_or_told(captions: list[str]) -> None:
    written([caption.strip() for caption in captions])
    assert prompts.read("coco2014-30k") == captions
    without_annotation()
    with pytest.raises(
        Fault, match=r"its lines were stripped, and \d of the captions begin or end with a blank"
    ) as raised:
        prompts.read("coco2014-30k")
    assert len(raised.value.sentences) == 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda lines: lines[:-1], "holds 5 prompts, coco2014-30k has 6: 1 are missing"),
        (lambda lines: [*lines, "more"], "holds 7 prompts, coco2014-30k has 6: 1 too many"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "its sha256 is [0-9a-f]{64}, [0-9a-f]{64} is needed"),
        (lambda lines: [lines[0] + " ", *lines[1:]], "of its lines begin or end with a blank, . should"),
        (lambda lines: [*lines[:2], "", *lines[3:]], "has 1 empty prompts, the first in line 3"),
        (lambda lines: [], "holds no prompt"),
    ],
)
def test_what_differs_is_said(captions: list[str], spoil, reason: str) -> None:
    without_annotation()
    written(spoil(captions))
    with pytest.raises(Fault, match=reason):
        prompts.read("coco2014-30k")


def test_pickles_and_tables_are_data(captions: list[str]) -> None:
    Path("captions_coco14_test.pkl").write_bytes(b"\x80\x02cos\nsystem\nU\x04echo\x85R.")
    with pytest.raises(Fault, match=r"is no pickled list of texts: it names os.system"):
        prompts.read("coco2014-30k")
    for name, content, reason in [
        ("a.json", "[1, 2]", "is no list of texts"),
        ("b.json", "[", "can't be read as a list of prompts"),
        ("c.txt", b"\xff\xfe", "can't be read as a list of prompts"),
    ]:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(Fault, match=reason):
            prompts.read("own", Path(name))


def test_four_styles_are_one_list(captions: list[str]) -> None:
    Path("hpsv2").mkdir()
    for style in prompts.STYLES[:3]:
        Path(f"hpsv2/{style}.json").write_text(json.dumps([style] * 800))
    with pytest.raises(Fault, match=r"hpsv2 lacks photo.json"):
        prompts.read("hpsv2")
    Path("hpsv2/photo.json").write_text(json.dumps(["photo"] * 800))
    assert len(prompts.read("hpsv2")) == 3200


def test_a_list_of_ones_own(captions: list[str]) -> None:
    written(["b", "a"], "mine.txt")
    assert prompts.read("mine", count=2) == ["b", "a"]
    with pytest.raises(Fault, match=r"prompts lacks the prompts 'other'"):
        prompts.read("other")
    with pytest.raises(Fault, match="holds 2 prompts, mine has 3"):
        prompts.read("mine", count=3)


def test_the_real_captions_where_they_are() -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / REAL
    if not path.is_file():
        pytest.skip(f"{REAL} is not here")
    listed = prompts.read("coco2014-30k", path)
    known = prompts.LISTS["coco2014-30k"]
    assert len(listed) == 30_000 == known.count
    assert sum(caption != caption.strip() for caption in listed) == known.outer_blanks


def test_image_ids_stand_for_the_first_caption_of_each_image(
    captions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """coco-5k, which no paper lists: a person may bring captions, or ids of val2014."""
    annotation = json.loads(Path("annotations/captions_val2014.json").read_text())
    first: dict[int, str] = {}
    for row in sorted(annotation["annotations"], key=lambda row: row["id"]):
        first.setdefault(row["image_id"], row["caption"])
    named = {image["id"]: int(image["file_name"][-16:-4]) for image in annotation["images"]}
    chosen = sorted(first)[::-1][:2]
    monkeypatch.setitem(prompts.LISTS, "coco-5k", replace(prompts.LISTS["coco-5k"], count=2))
    path = written([str(named[image]) for image in chosen], "coco-5k.txt")
    assert prompts.read("coco-5k", count=2) == [first[image] for image in chosen]
    assert (
        prompts.captions_behind(prompts.LISTS["coco-5k"], path) == Path("annotations/captions_val2014.json").resolve()
    )
    written([first[image] for image in chosen], "coco-5k.txt")
    assert prompts.read("coco-5k", count=2) == [first[image] for image in chosen], "captions stay captions"
    assert prompts.captions_behind(prompts.LISTS["coco-5k"], path) is None
    written(["1", "999999"], "coco-5k.txt")
    with pytest.raises(Fault, match="of its image ids are not of val2014"):
        prompts.read("coco-5k")
    written(["7", "8"], "captions.txt")
    with pytest.raises(Fault):
        prompts.read("coco2014-30k")  # a published list holds captions alone
    without_annotation()
    written([str(named[image]) for image in chosen], "coco-5k.txt")
    with pytest.raises(Fault, match="captions_val2014"):
        prompts.read("coco-5k")

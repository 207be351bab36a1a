"""No image is dropped in silence: links, linked folders, names that stand twice, endings, what is passed over."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli import main
from benchmarks.data.pairs import open_pairs
from benchmarks.images.reading import decode, open_images
from benchmarks.images.selection import EXTENSIONS, UNREAD
from sid.fault import Fault
from tests.made_images import encoded, folder, made

IMAGES = made(4, 8, 12)
PNG = encoded(IMAGES[0])


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_inside_a_tar_are_images(mode: str, tmp_path: Path) -> None:
    made_tar = tar(
        tmp_path / "a.tar",
        [
            (member("deep/a.png"), PNG),
            (member("b.png", tarfile.LNKTYPE, "deep/a.png"), b""),
            (member("deep/c.png", tarfile.SYMTYPE, "a.png"), b""),
            (member("d.png", tarfile.LNKTYPE, "deep/c.png"), b""),
        ],
        mode,
    )
    images = open_images(made_tar)
    assert images.names == ["b.png", "d.png", "deep/a.png", "deep/c.png"]
    assert {images.read(index) for index in range(4)} == {PNG}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (
            member("b.png", tarfile.LNKTYPE, "gone.png"),
            r"b\.png is a link to gone\.png, which the archive does not hold",
        ),
        (member("b.png", tarfile.SYMTYPE, "/etc/passwd"), "which the archive does not hold"),
        (member("b.png", tarfile.SYMTYPE, "b.png"), "leads back to itself"),
        (member("b.png", tarfile.FIFOTYPE), "is no file"),
        (member("a.png"), r"holds a\.png twice"),
    ],
)
def test_odd_members_of_a_tar_are_refused_by_name(odd: tarfile.TarInfo, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=reason):
        open_images(tar(tmp_path / "a.tar", [(member("a.png"), PNG), (odd, b"")]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for pixels in IMAGES[:3]:
            archive.writestr("x/same.png", encoded(pixels))
    with pytest.raises(Fault, match=r"holds x/same\.png, x/same\.png twice"):
        open_images(tmp_path / "a.zip")


def test_linked_folders_are_read(tmp_path: Path) -> None:
    folder(tmp_path / "elsewhere" / "deep", IMAGES)
    folder(tmp_path / "here", IMAGES[:1])
    (tmp_path / "here" / "more").symlink_to(tmp_path / "elsewhere")
    images = open_images(tmp_path / "here")
    assert len(images) == 5 and "more/deep/img3.png" in images.names
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere" / "deep")
    assert len(open_images(tmp_path / "here")) == 9, "a folder that is linked twice is read twice"
    (tmp_path / "elsewhere" / "deep" / "up").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Fault, match="link to a folder that contains it"):
        open_images(tmp_path / "here")


def test_a_link_to_a_folder_that_is_not_mounted_is_refused(tmp_path: Path) -> None:
    folder(tmp_path / "here", IMAGES[:1])
    (tmp_path / "here" / "train").symlink_to(tmp_path / "not mounted")
    with pytest.raises(Fault, match="here/train: a link to a file that is not there"):
        open_images(tmp_path / "here")


WRITTEN = {".jfif": "jpeg", ".jpe": "jpeg", ".apng": "png", ".avif": "avif", ".jp2": "jpeg2000", ".tga": "tga"}


@pytest.mark.parametrize("ending", WRITTEN)
def test_other_endings_are_read(ending: str, tmp_path: Path) -> None:
    smooth = np.stack([np.add.outer(np.arange(16), shift + np.arange(24)) * 5 for shift in (0, 3, 6)]).astype(np.uint8)
    (tmp_path / f"a{ending.upper()}").write_bytes(encoded(smooth, WRITTEN[ending]))
    pixels = decode(open_images(tmp_path).read(0), "a")[0]
    assert np.abs(pixels.astype(int) - smooth).mean() < 4


def test_every_ending_that_pillow_opens_is_read_or_refused() -> None:
    Image.init()
    others = {".mpg", ".mpeg", ".bufr", ".grib", ".h5", ".hdf", ".gbr", ".ftc", ".ftu", ".iim", ".ps", ".vda", ".vst"}
    others |= {".icb"}  # films, measurements, programs and names that nobody gives an image today
    opened = {ending for ending, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    assert opened - set(EXTENSIONS) - set(UNREAD) <= others


def test_images_of_a_kind_that_is_not_read_are_refused_by_name(tmp_path: Path) -> None:
    folder(tmp_path, IMAGES[:1])
    for number in range(5):
        (tmp_path / f"photo{number}.HEIC").write_bytes(b"")
    with pytest.raises(Fault, match=r"photo0\.HEIC, photo1\.HEIC, photo2\.HEIC and 2 more, of a kind that is not read"):
        open_images(tmp_path)


def test_more_than_eight_bits_are_refused_in_jpeg_2000_too(tmp_path: Path) -> None:
    content = bytearray(encoded(IMAGES[0], "jpeg2000", no_jp2=True))
    assert content[:4] == b"\xff\x4f\xff\x51" and content[42] == 7, "eight bits, less one"
    content[42] = content[45] = content[48] = 11
    with pytest.raises(Fault, match="12-bit RGB pixels"):
        decode(bytes(content), "deep.j2k")


def test_what_is_passed_over_is_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "a", IMAGES)
    (tmp_path / "a" / "notes.txt").write_text("")
    (tmp_path / "a" / "LICENSE").write_text("")
    said = "6 files, 4 images, 2 passed over (.txt: 1, without an ending: 1)"
    assert open_images(tmp_path / "a").passed_over == said
    assert open_images(folder(tmp_path / "b", IMAGES)).passed_over == ""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", PNG)
        archive.writestr("__MACOSX/a.png", b"")
    assert open_images(tmp_path / "a.zip").passed_over.endswith("1 passed over (in __MACOSX: 1)")
    words = ["score", str(tmp_path / "a"), "--reference", str(tmp_path / "b"), "--metrics", "fid"]
    assert main([*words, "--random-weights", "0", "--no-store"]) == 0
    assert f"! images: {said}" in capsys.readouterr().out


def test_two_images_of_one_caption_are_refused(tmp_path: Path) -> None:
    shard = tar(tmp_path / "a.tar", [(member("1.png"), PNG), (member("1.jpg"), PNG), (member("1.txt"), b"a cat")])
    with pytest.raises(Fault, match=r"two images for the caption 1: a\.tar/1\.png and a\.tar/1\.jpg"):
        open_pairs(shard)


def test_linked_captions_and_images_of_a_shard_are_read(tmp_path: Path) -> None:
    shard = tar(
        tmp_path / "a.tar",
        [
            (member("1.png"), PNG),
            (member("1.txt"), b"a cat"),
            (member("2.png", tarfile.LNKTYPE, "1.png"), b""),
            (member("2.txt", tarfile.LNKTYPE, "1.txt"), b""),
        ],
    )
    pairs = open_pairs(shard)
    assert pairs.captions == ["a cat", "a cat"] and pairs.images.read(1) == PNG

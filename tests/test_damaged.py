"""Images that are cut, lost, deeper than 8 bits or undecodable: refused in sentences, all of them, from the command."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli import main
from benchmarks.data.pairs import open_pairs
from benchmarks.features.extraction import extract
from benchmarks.images.archives import tar_files
from benchmarks.images.reading import Array, decode, open_checked, open_images
from sid.fault import Fault
from tests.made_images import encoded, folder, made
from tests.stand_ins import Colours, stand_in

IMAGES = made(6, 16, 16)


def tarred(path: Path, texts: bool = False) -> tuple[Path, list[int]]:
    """A tar of the six images, and where each of its files begins."""
    with tarfile.open(path, "w") as archive:
        for index, pixels in enumerate(IMAGES):
            files = [(f"img{index}.png", encoded(pixels)), *([(f"img{index}.txt", b"a dog")] if texts else [])]
            for name, content in files:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with tarfile.open(path) as archive:
        return path, [member.offset for member in archive]


def cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


@pytest.mark.parametrize("past", [0, 200, 512, 600])
def test_a_tar_that_breaks_off_is_refused_wherever_it_was_cut(tmp_path: Path, past: int) -> None:
    """Between two files, in a header, before the content, in the content: tarfile itself tells only the last two."""
    path, starts = tarred(tmp_path / "images.tar")
    assert len(open_images(path)) == 6
    cut(path, starts[3] + past)
    for reader in (open_images, open_checked, lambda given: list(tar_files(given))):
        with pytest.raises(Fault, match=r"images\.tar"):
            reader(path)
    (tmp_path / "packed.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(Fault, match="can't be read"):
        open_images(tmp_path / "packed.tar.gz")


def test_a_cut_shard_of_pairs_is_refused(tmp_path: Path) -> None:
    path, starts = tarred(tmp_path / "pairs.tar", texts=True)
    assert len(open_pairs(path).images) == 6
    with pytest.raises(Fault, match="truncated"):
        open_pairs(cut(path, starts[6]))


def test_the_verb_scores_no_half_of_a_tar(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    stand_in(monkeypatch)
    path, starts = tarred(tmp_path / "images.tar")
    whole = str(folder(tmp_path / "whole", IMAGES))
    assert main(["--results", str(tmp_path), "score", str(cut(path, starts[3])), "--reference", whole]) == 2
    assert "it breaks off after" in capsys.readouterr().err


def test_a_link_to_nowhere_is_told(tmp_path: Path) -> None:
    path = folder(tmp_path / "images", IMAGES)
    (path / "img6.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(Fault, match=r"img6\.png: a link to a file that is not there"):
        open_images(path)
    shutil.copy(path / "img0.png", tmp_path / "gone.png")
    assert len(open_images(path)) == 7


def png(color_type: int, channels: int, value: int = 0x1234) -> bytes:
    """An 8 x 8 PNG of 16 bits a channel; Pillow itself writes none but grey ones."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + struct.pack(">H", value) * 8 * channels for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff() -> bytes:
    """An 8 x 8 RGB TIFF of 16 bits a channel."""
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 140)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, 384), (284, 3, 1, 1)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return head + struct.pack("<HHH", 16, 16, 16) + struct.pack("<H", 0x1234) * 192


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (png(0, 1), "I;16 pixels"),
        (png(2, 3), "16-bit RGB pixels"),
        (png(4, 2), "16-bit RGBA pixels"),
        (png(6, 4), "16-bit RGBA pixels"),
        (tiff(), "16-bit RGB pixels"),
        (b"P6 2 2 65535\n" + bytes(24), "16-bit RGB pixels"),
        (b"P3 1 1 65535\n1 2 65535\n", "16-bit RGB pixels"),
    ],
    ids=["grey", "colour", "grey-alpha", "colour-alpha", "tiff", "ppm", "plain-ppm"],
)
def test_sixteen_bits_are_refused_in_every_mode(content: bytes, kind: str) -> None:
    with pytest.raises(Fault, match=rf"deep has .*{kind} \(more than 8 bits\): scale it to 8 bits"):
        decode(content, "deep")


def test_eight_bits_are_read_in_every_format() -> None:
    for kind in ("png", "ppm", "tiff", "bmp", "gif", "webp"):
        assert decode(encoded(IMAGES[0], kind), "plain")[0].shape == (3, 16, 16), kind
    buffer = io.BytesIO()
    Image.fromarray(IMAGES[0][0] > 128).save(buffer, "png")  # one bit
    assert decode(buffer.getvalue(), "mask")[1] == "1"


@pytest.mark.parametrize("store", [[], ["--no-store"]])
def test_every_damaged_member_is_told_from_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, store: list[str]
) -> None:
    """Two with a wrong checksum, one that decodes to nothing: with stored features the hash reads them first."""
    stand_in(monkeypatch)
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index, pixels in enumerate(IMAGES):
            archive.writestr(f"img{index}.png", b"nothing" if index == 4 else encoded(pixels))
    data = bytearray(path.read_bytes())
    for name in ("img1.png", "img3.png"):
        with zipfile.ZipFile(path) as archive:
            data[archive.getinfo(name).header_offset + 100] ^= 0xFF
    path.write_bytes(data)
    whole = str(folder(tmp_path / "whole", IMAGES))
    assert main(["--results", str(tmp_path), "score", str(path), "--reference", whole, *store]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["img1.png", "img3.png", "img4.png"]
    assert "can't be read from" in lines[0] and "it is no image that Pillow knows" in lines[2]
    assert "object at 0x" not in "".join(lines)


def test_the_audit_tells_every_damaged_image_of_both_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [folder(tmp_path / name, IMAGES) for name in ("a", "b")]
    (sets[0] / "img2.png").write_bytes(b"nothing")
    (sets[0] / "img5.png").write_bytes(b"")
    (sets[1] / "img1.png").write_bytes(b"nothing")
    assert main(["audit", str(sets[0]), "--reference", str(sets[1]), "--random-weights", "0"]) == 2
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["img2.png", "img5.png", "img1.png"]


def test_grey_arrays_are_counted_as_converted() -> None:
    extracted = extract(Array(IMAGES[:, 0]), {"inception-tf": ["pool3"]}, {"inception-tf": Colours()})
    assert extracted.warnings() == ["6 images were converted to RGB from L"]


def test_a_file_of_no_arrays_is_told_in_our_own_words(tmp_path: Path) -> None:
    for name, content in (("a.npz", b"garbage"), ("b.npy", b"garbage"), ("c.npz", b"PK\x03\x04garbage")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Fault, match="it is damaged, or no file of arrays") as raised:
            open_images(tmp_path / name)
        assert "pickle" not in str(raised.value)
    np.savez(tmp_path / "d.npz", images=np.array([{}], dtype=object))
    with pytest.raises(Fault, match="Python objects, which are never loaded"):
        open_images(tmp_path / "d.npz")

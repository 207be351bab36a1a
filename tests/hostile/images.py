"""Hostile sources of images, made by code in a folder: each call makes one and returns its path."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.made_images import encoded, made

PIXELS = made(2, 8, 8)
PNG = encoded(PIXELS[0])


def npy(header: str, data: bytes = bytes(64), version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1").ljust(117) + b"\n"
    length = struct.pack("<H", len(text)) if version == b"\x01\x00" else struct.pack("<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


def header(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tar_of(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """Members of (name, kind, content, link)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, content, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def patched(content: bytes, place: int, value: int, size: str = "<I") -> bytes:
    return content[:place] + struct.pack(size, value) + content[place + struct.calcsize(size) :]


def files() -> Iterator[tuple[str, str, bytes]]:
    """(name, file name, content)"""
    shapes = ("(True, True, 8, 8)", "(1125899906842624,)", "(-1, 8, 8)", "(2, 8)", "()", "(0,)", "(2, 8, 8, 2)", "'x'")
    yield from ((f"npy of shape {shape}", "a.npy", npy(header(shape))) for shape in shapes)
    yield "npy of a wide shape", "a.npy", npy(header("(4294967296, 4294967296, 3, 8)"))
    yield "npy of huge zero dimensions", "a.npy", npy(header("(0, 4611686018427387904, 3, 8)"), b"")
    for kind in ("'|O'", "'<f4'", "'<c16'", "'|V8'", "[('a', '|u1')]", "'|S1'", "'x'", "'<u2'"):
        yield f"npy of {kind}", "a.npy", npy(header("(1, 8, 8)", kind))
    yield "npy that calls", "a.npy", npy("__import__('os').system('touch executed')")
    yield "npy of deep nesting", "a.npy", npy("(" * 5000 + ")" * 5000, version=b"\x02\x00")
    yield "npy of version 9", "a.npy", npy(header("(1, 8, 8)"), version=b"\x09\x00")
    yield "npy without a header", "a.npy", b"\x93NUMPY\x01\x00"
    yield "npy with too much", "a.npy", npy(header("(1, 8, 8)"), bytes(65))
    yield "npz of a pickle", "a.npz", zip_of({"images.npy": npy(header("(1,)", "'|O'"), b"\x80\x04N.")})
    yield "npz without arrays", "a.npz", zip_of({"readme.txt": b"hello"})
    yield "npz of two arrays", "a.npz", zip_of({"a.npy": npy(header("(1, 8, 8)")), "b.npy": npy(header("(1, 8, 8)"))})
    whole = zip_of({"images.npy": npy(header("(1, 8, 8)"))}, zipfile.ZIP_DEFLATED)
    table = whole.rindex(b"PK\x01\x02")
    for place, what in ((20, "compressed size"), (24, "size"), (42, "offset"), (16, "checksum")):
        sort = "either: " if what == "compressed size" else ""
        yield f"{sort}npz with a lying {what}", "a.npz", patched(whole, table + place, 2**32 - 2)
    bomb = zip_of({"images.npy": npy(header("(5368709120,)")) + bytes(2**27)}, zipfile.ZIP_DEFLATED)
    yield "npz bomb", "a.npz", bomb
    yield "npz encrypted", "a.npz", patched(patched(whole, table + 8, 1, "<H"), 6, 1, "<H")
    yield "npz of an unknown method", "a.npz", patched(patched(whole, table + 10, 77, "<H"), 8, 77, "<H")
    yield "npz cut", "a.npz", whole[:-30]
    yield "zip of names outside", "a.zip", zip_of({"../../evil.txt": b"x", "notes.txt": b"y"})
    yield "zip without images", "a.zip", zip_of({"notes.txt": b"y"})
    yield "zip of a damaged image", "a.zip", zip_of({"a.png": PNG[:40]})
    yield "zip of heic", "a.zip", zip_of({"a.png": PNG, "b.heic": b"x"})
    yield (
        "either: zip with a lying size",
        "a.zip",
        patched(made_zip := zip_of({"a.png": PNG}), made_zip.rindex(b"PK\x01\x02") + 24, 2**31),
    )
    regular = tarfile.REGTYPE
    yield "tar link to nowhere", "a.tar", tar_of(("a.png", tarfile.LNKTYPE, b"", "b.png"))
    yield "tar link outside", "a.tar", tar_of(("a.png", tarfile.SYMTYPE, b"", "../../etc/passwd"))
    yield "tar link to itself", "a.tar", tar_of(("a.png", tarfile.SYMTYPE, b"", "a.png"))
    yield "tar device", "a.tar", tar_of(("a.png", tarfile.CHRTYPE, b"", ""))
    yield "tar pipe", "a.tar", tar_of(("a.png", tarfile.FIFOTYPE, b"", ""))
    yield "tar of a name twice", "a.tar", tar_of(("a.png", regular, PNG, ""), ("a.png", regular, PNG, ""))
    yield "tar cut", "a.tar", tar_of(("a.png", regular, PNG, ""))[:600]
    yield "tar with a lying size", "a.tar", tar_of(("a.png", regular, PNG, ""))[:512].replace(b"0000000", b"7777777", 4)
    yield "gzip of nothing", "a.tar.gz", b"\x1f\x8b\x08\x00" + bytes(20)
    yield "bzip2 of nothing", "a.tar.bz2", b"BZh9" + bytes(20)
    yield "xz of nothing", "a.tar.xz", b"\xfd7zXZ\x00" + bytes(20)
    yield "text", "a.zip", b"hello"
    yield "empty", "a.zip", b""


def pictures() -> Iterator[tuple[str, str, bytes]]:
    """(name, file name, content) of a picture in a folder."""
    yield "png of 3.6 gigapixels", "a.png", png(60_000, 60_000)
    yield "png of 2^31 pixels a side", "a.png", png(2**31 - 1, 2**31 - 1)
    yield "png of no pixels", "a.png", png(0, 0)
    yield "png without data", "a.png", png(8, 8)
    yield "png with a forged name", "a\nsidbench: done\x1b[2J.png", b"x"
    yield "svg", "a.svg", b"<svg onload='alert(1)'/>"
    yield "eps that runs", "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(executed) (w) file\n"
    yield "eps called png", "a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(executed) (w) file\n"
    yield "gif without pictures", "a.gif", b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b";"
    yield (
        "bmp of a huge size",
        "a.bmp",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 1, 0, 54, 40, 2**30, 2**30, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "tiff of a loop", "a.tif", b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"
    yield (
        "jpeg of 65,535 pixels a side",
        "a.jpg",
        b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xd9",
    )
    yield "empty png", "a.png", b""


def links() -> dict[str, Callable[[Path], object]]:
    """What is made in a folder by the file system's own means."""
    return {
        "a folder in itself": lambda folder: os.symlink(".", folder / "again"),
        "a folder in itself by a detour": lambda folder: os.symlink(
            "..", (folder / "a").mkdir() or folder / "a" / "up"
        ),
        "a broken link": lambda folder: os.symlink("gone", folder / "a.png"),
        "a link to itself": lambda folder: os.symlink("a.png", folder / "a.png"),
        "a link to a device": lambda folder: os.symlink("/dev/null", folder / "a.png"),
        "a pipe": lambda folder: os.mkfifo(folder / "a.png"),
        "an empty folder": lambda folder: (folder / "a").mkdir(),
    }


def make(folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of every source, each in a folder of its own."""
    for number, (name, file, content) in enumerate(files()):
        place = folder / f"file-{number}"
        place.mkdir()
        (place / file).write_bytes(content)
        yield name, place / file
    for number, (name, file, content) in enumerate(pictures()):
        place = folder / f"picture-{number}"
        place.mkdir()
        (place / file).write_bytes(content)
        yield name, place
    for number, (name, build) in enumerate(links().items()):
        place = folder / f"link-{number}"
        place.mkdir()
        build(place)
        yield name, place

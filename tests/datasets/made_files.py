"""Small files of the real layouts: pickled batches, EDM zips, COCO's annotation and folder, webdataset tars."""

from __future__ import annotations

import io
import json
import pickletools
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def png(seed: int, side: int = 8, width: int = 0, form: str = "png") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, width or side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).transpose(2, 0, 1)


def tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def edm_zip(path: Path, count: int = 6, side: int = 8, labels: bool = True, classes: int = 10) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        names = [f"00000/img{index:08d}.png" for index in range(count)]
        for index, name in enumerate(names):
            archive.writestr(name, png(index, side))
        table = [[name, index % classes] for index, name in enumerate(names)] if labels else None
        archive.writestr("dataset.json", json.dumps({"labels": table}))
    return path


def batch(images: np.ndarray, labels: list[int], module: str = "numpy.core.multiarray") -> bytes:
    """A pickle as Python 2 wrote it: protocol 2, texts for bytes, an array built from its state."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    data = images.reshape(len(images), -1)
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = f"c{module}\n_reconstruct\ncnumpy\nndarray\n".encode() + number(0) + b"\x85" + text(b"b") + b"\x87R"
    shape = b"(" + number(data.shape[0]) + number(data.shape[1]) + b"t"
    array += b"(" + number(1) + shape + dtype + b"\x89" + text(data.tobytes()) + b"tb"
    encoded = b"".join(number(label) for label in labels)
    whole = b"\x80\x02}(" + text(b"labels") + b"](" + encoded + b"e" + text(b"data") + array + b"u."
    pickletools.dis(whole, io.StringIO())  # it is well formed
    return whole


def cifar(path: Path, each: int = 3) -> tuple[Path, np.ndarray, list[int]]:
    """The original archive, small; its images and labels in order, the held-out batch last."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6 * each, 3, 32, 32), np.uint8)
    labels = [int(label) for label in random.integers(0, 10, 6 * each)]
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    files = {
        f"cifar-10-batches-py/{name}": batch(images[part := slice(at * each, (at + 1) * each)], labels[part])
        for at, name in enumerate(names)
    }
    files["cifar-10-batches-py/readme.html"] = b"<html>"
    return tar(path, files, "w:gz"), images, labels


def parquet(
    folder: Path, split: str, shards: int, label: str = "label", side: int = 32
) -> tuple[np.ndarray, list[int]]:
    """CIFAR-10 as Hugging Face keeps it: three rows a shard; the images and labels in order."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = [], []
    for shard in range(shards):
        files = [png(10 * shard + row, side) for row in range(3)]
        pixels += [pixels_of(file) for file in files]
        labels += [shard, 9, 4]
        rows = {"img": [{"bytes": file, "path": None} for file in files], label: [shard, 9, 4]}
        pyarrow.parquet.write_table(pyarrow.table(rows), folder / f"{split}-{shard:05}-of-{shards:05}.parquet")
    return np.stack(pixels), labels


def coco(folder: Path, count: int = 4, year: str = "val2014", size: tuple[int, int] = (20, 24)) -> list[str]:
    """A COCO-shaped annotation file and the images it lists; the captions of all images, outer blanks included."""
    names = [f"COCO_{year}_{identity:012d}.jpg" for identity in range(10, 10 + count)]
    (folder / year).mkdir(parents=True)
    for seed, name in enumerate(names):
        (folder / year / name).write_bytes(png(seed, *size, "jpeg"))
    rows = [
        {"id": 100 * at + which, "image_id": 10 + at, "caption": f"caption {which} of {at}" + " " * (which % 2)}
        for at in range(count)
        for which in (1, 0, 2)
    ]
    annotation = {"images": [{"id": 10 + at, "file_name": name} for at, name in enumerate(names)], "annotations": rows}
    (folder / "annotations").mkdir()
    (folder / "annotations" / f"captions_{year}.json").write_text(json.dumps(annotation))
    return [str(row["caption"]) for row in sorted(rows, key=lambda row: row["id"])]

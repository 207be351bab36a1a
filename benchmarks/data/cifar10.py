"""CIFAR-10 (Krizhevsky 2009): from the original archive or its folder, EDM's zip, or Hugging Face's parquet files.

The original batches are pickles; they are read without executing anything, and only the names of a numpy array of bytes
are admitted.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import DataFile
from benchmarks.data.base import FileDataset, open_cached
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

    from benchmarks.images.reading import Images


TERMS = "no licence stated"
PARQUET = "plain_text"  # the folder in uoft-cs/cifar10
ZIP = DataFile("the images as EDM's zip", ("cifar10-32x32.zip", "cifar10.zip"), TERMS, "EDM's dataset_tool.py makes it")
ARCHIVE = DataFile(
    "the images as the original archive, its folder, EDM's zip or Hugging Face's folder of parquet files",
    ("cifar-10-python.tar.gz", "cifar-10-batches-py", *ZIP.names, PARQUET),
    TERMS,
    "https://www.cs.toronto.edu/~kriz/cifar.html",
)
BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "heldout": ("test_batch",)}
PARQUET_SPLITS = {"train": "train", "heldout": "test"}
IMAGE_COLUMNS, LABEL_COLUMNS = ("img", "image"), ("label", "labels", "fine_label")
SHAPE = (3, 32, 32)
VALUES = 3 * 32 * 32


class Cifar10(FileDataset):
    name = "cifar10"
    version = 1
    paper = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    verified = "layout"
    shape = SHAPE
    classes = 10
    files = (ARCHIVE,)

    def opened(self, split: str) -> Images:
        from benchmarks.images.reading import Array

        path = self.locate(ARCHIVE)
        if path.suffix != ".zip":
            return Array(_split(path, split)[0], f"{path}, {split}")
        if split != "train":
            raise Fault(f"{path} holds the split train only; the split {split} needs {ARCHIVE.names[0]}")
        return open_cached(path)

    def labels(self, split: str) -> np.ndarray:
        path = self.locate(ARCHIVE)
        return _split(path, split)[1] if path.suffix != ".zip" else super().labels(split)


@lru_cache(maxsize=4)
def _split(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [N, 3, 32, 32] and labels, in the files' own order."""
    images, labels = _parquet_split(path, split) if path.name == PARQUET else _batches_split(path, split)
    images.flags.writeable = labels.flags.writeable = False  # all callers share them
    return images, labels


def _batches_split(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    contents = _batches(path)
    parts = []
    for name in BATCHES[split]:
        if name not in contents:
            raise Fault(f"{path} holds no {name}: it is no CIFAR-10 in its Python form, or it is truncated")
        try:
            parts.append(_batch(contents[name]))
        except Fault as fault:
            raise Fault([f"{path}: {name}: {sentence}" for sentence in fault.sentences]) from None
    counts = [len(labels) for _, labels in parts]
    if odd := [f"{name} {count:,}" for name, count in zip(BATCHES[split], counts, strict=True) if count != max(counts)]:
        raise Fault(
            f"{path}: all batches of CIFAR-10 hold equally many images, here {max(counts):,}, but {', '.join(odd)}"
        )
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return images, labels


def _batches(path: Path) -> dict[str, bytes]:
    from benchmarks.images.archives import tar_files

    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir() if "_batch" in file.name}
    return {Path(name).name: content for name, content in tar_files(path) if "_batch" in Path(name).name}


def _batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one pickled batch; nothing in it is executed."""
    import numpy as np

    from sid.teachers.pickles.inert_pickle import Name, Policy, Shell, read

    array, dtype, encode = Name("numpy", "ndarray"), Name("numpy", "dtype"), Name("_codecs", "encode")
    makers = {Name(module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")}

    class ArrayPolicy(Policy):
        """Admits the names of an array of bytes, and no other."""

        def admit(self, name: Name) -> None:
            if name not in {array, dtype, encode, *makers}:
                raise Fault(f"it names {name}, which no CIFAR-10 batch needs")

        def call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
            if name == encode:
                return str(arguments[0]).encode("latin1")
            return Shell(array if name in makers else name, arguments)

    table = read(io.BytesIO(content), ArrayPolicy())
    if not isinstance(table, dict):
        raise Fault("it is no CIFAR-10 batch: it holds no table")
    table = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in table.items()}
    labels, data = table.get("labels"), table.get("data")
    if not isinstance(data, Shell) or data.of != array or not isinstance(labels, list):
        raise Fault("it is no CIFAR-10 batch: it holds no data and labels")
    shape, kind, pixels = _array_state(data)
    if shape != (len(labels), VALUES) or kind != "u1" or len(pixels) != len(labels) * VALUES:
        array_words = f"{list(shape)} of {kind} in {len(pixels):,} bytes, with {len(labels)} labels"
        raise Fault(f"it is no CIFAR-10 batch: its array is {array_words}")
    classes = np.array(labels, np.int64)
    if classes.min() < 0 or classes.max() > 9:
        raise Fault(f"it is no CIFAR-10 batch: a label is {classes.max()}")
    return np.frombuffer(pixels, np.uint8).reshape(-1, *SHAPE), classes


def _array_state(data: Any) -> tuple[tuple[int, ...], str, bytes]:
    """Shape, type and bytes of a pickled array."""
    try:
        _, shape, dtype, columns_first, content = data.state
        kind = dtype.arguments[0]
    except (TypeError, ValueError, AttributeError, IndexError):
        raise Fault("it is no CIFAR-10 batch: its array has no readable state") from None
    if columns_first:
        raise Fault("it is no CIFAR-10 batch: its array is stored by columns")
    return tuple(shape), str(kind).lstrip("|"), content.encode("latin1") if isinstance(content, str) else bytes(content)


def _parquet_files(folder: Path, split: str) -> list[Path]:
    """`train-00000-of-00002.parquet` and so on in order; refused if one is missing."""
    files = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not files:
        raise Fault(f"{folder} has no {split}-*.parquet")
    stated = int(files[0].stem.rpartition("-of-")[2])
    if len(files) != stated:
        raise Fault(f"{folder} has {len(files)} of {stated} parquet files of the split {split}")
    return files


def _parquet_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np
    import pyarrow

    from benchmarks.images.reading import decode

    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for file in _parquet_files(folder, PARQUET_SPLITS[split]):
        try:
            table = _table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise Fault(f"{file} can't be read as parquet: {str(error).splitlines()[0]}") from None
        image, label = (_column(table.column_names, names, file) for names in (IMAGE_COLUMNS, LABEL_COLUMNS))
        for number, cell in enumerate(table.column(image).to_pylist()):
            content = cell.get("bytes") if isinstance(cell, dict) else None
            if not content:
                raise Fault(f"{file}: row {number} holds no image bytes in '{image}'")
            decoded = decode(content, f"{file.name}, row {number}")[0]
            if decoded.shape != SHAPE:
                raise Fault(f"{file}: row {number} has the shape {list(decoded.shape)}, expected {list(SHAPE)}")
            pixels.append(decoded)
        labels.append(table.column(label).to_numpy().astype(np.int64))
    return np.stack(pixels), np.concatenate(labels)


def _table(file: Path) -> pyarrow.Table:
    """Only the columns that are used: nothing else in the file is decoded."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as parquet:
        used = [name for name in parquet.schema_arrow.names if name in IMAGE_COLUMNS + LABEL_COLUMNS]
        return parquet.read(columns=used)


def _column(columns: list[str], names: tuple[str, ...], file: Path) -> str:
    for name in names:
        if name in columns:
            return name
    raise Fault(f"{file} has no column {' or '.join(names)}")

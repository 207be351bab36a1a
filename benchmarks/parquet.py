"""Images with labels in Hugging Face's parquet layout: a struct of bytes and path, and an integer column beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    import pyarrow

IMAGE, LABEL = ("img", "image"), ("label", "labels", "fine_label")


def files_of(folder: Path, split: str) -> list[Path]:
    """The shards of a split in their order: `train-00000-of-00002.parquet` and so on, all of them."""
    found = sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not found:
        raise Fault(f"{folder} has no {split}-*.parquet")
    stated = int(found[0].stem.rpartition("-of-")[2])
    if len(found) != stated:
        raise Fault(f"{folder} has {len(found)} of {stated} parquet files of the split {split}")
    return found


def images_and_labels(files: list[Path], shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [N, C, H, W] and labels [N] in the files' order."""
    import numpy as np
    import pyarrow

    from benchmarks.images.reading import decode

    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for file in files:
        try:
            table = _table(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise Fault(f"{file} can't be read as parquet: {str(error).splitlines()[0]}") from None
        image, label = (_column(table.column_names, names, file) for names in (IMAGE, LABEL))
        for number, cell in enumerate(table.column(image).to_pylist()):
            content = cell.get("bytes") if isinstance(cell, dict) else None
            if not content:
                raise Fault(f"{file}: row {number} holds no image bytes in '{image}'")
            decoded = decode(content, f"{file.name}, row {number}")[0]
            if decoded.shape != shape:
                raise Fault(f"{file}: row {number} has the shape {list(decoded.shape)}, expected {list(shape)}")
            pixels.append(decoded)
        labels.append(table.column(label).to_numpy().astype(np.int64))
    return np.stack(pixels), np.concatenate(labels)


def _table(file: Path) -> pyarrow.Table:
    """Only the columns that are used: nothing else in a foreign file is decoded."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as opened:
        return opened.read(columns=[name for name in opened.schema_arrow.names if name in IMAGE + LABEL])


def _column(found: list[str], names: tuple[str, ...], file: Path) -> str:
    for name in names:
        if name in found:
            return name
    raise Fault(f"{file} has no column {' or '.join(names)}")

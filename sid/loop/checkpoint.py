"""The description of a saved state as JSON. torch's own is a pickle, which runs what a file says; here nothing does.

torch.distributed.checkpoint writes and reads the tensors; which tensor lies where in which file stands in
`metadata.json`. Every value of it is checked before it is used: a forged state is refused.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from sid import atomic
from sid.fault import Fault

FILE = "metadata.json"
VERSION = 1
MOST_BYTES = 2**28  # of the description of a state
DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")


class JsonWriter(FileSystemWriter):
    """Writes tensors as torch does, and their description as JSON."""

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        places: dict[str, list[dict[str, Any]]] = {}
        for result in (result for part in results for result in part):
            stored: _StorageInfo = result.storage_data
            offset = list(result.index.offset) if result.index.offset is not None else None
            place = {"file": stored.relative_path, "start": stored.offset, "bytes": stored.length, "offset": offset}
            places.setdefault(result.index.fqn, []).append(place | {"index": result.index.index})
        tensors = {name: _described(name, kind) for name, kind in metadata.state_dict_metadata.items()}
        for name, described in tensors.items():
            described["places"] = places.get(name, [])
        atomic.write_json(Path(self.path) / FILE, {"version": VERSION, "tensors": tensors})


class JsonReader(FileSystemReader):
    """Reads what `JsonWriter` wrote."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        metadata = read_metadata(Path(self.path))
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


def _described(name: str, kind: Any) -> dict[str, Any]:
    if not isinstance(kind, TensorStorageMetadata):
        raise AssertionError(f"{name} is no tensor, and a state holds nothing else")
    chunks = [{"offsets": list(chunk.offsets), "sizes": list(chunk.sizes)} for chunk in kind.chunks]
    return {"dtype": str(kind.properties.dtype).removeprefix("torch."), "size": list(kind.size), "chunks": chunks}


def read_metadata(folder: Path) -> Metadata:
    """The description of the tensors in a folder; a Fault for whatever is no description that a `JsonWriter` writes."""
    path = folder / FILE
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            raise ValueError
        files = {
            entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False)
        }
        tensors: dict[str, Any] = {}
        places: dict[MetadataIndex, _StorageInfo] = {}
        for name, described in content["tensors"].items():
            tensors[name] = _tensor(described)
            for place in described["places"]:
                offset, index = place["offset"], place["index"]
                key = MetadataIndex(
                    name, None if offset is None else _sizes(offset), None if index is None else _count(index)
                )
                places[key] = _place(place, files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Fault(f"{path} is no description of a state that this version of sidbench wrote") from None
    return Metadata(tensors, storage_data=places)


def _tensor(described: dict[str, Any]) -> TensorStorageMetadata:
    if described["dtype"] not in DTYPES:
        raise ValueError
    size = _sizes(described["size"])
    chunks = [ChunkStorageMetadata(_sizes(chunk["offsets"]), _sizes(chunk["sizes"])) for chunk in described["chunks"]]
    if sum(math.prod(chunk.sizes) for chunk in chunks) != math.prod(size):
        raise ValueError
    return TensorStorageMetadata(TensorProperties(getattr(torch, described["dtype"])), size, chunks)


def _place(place: dict[str, Any], files: dict[str, int]) -> _StorageInfo:
    """Where a tensor's bytes lie: inside a file of this very folder."""
    start, count = _count(place["start"]), _count(place["bytes"])
    if start + count > files[place["file"]]:
        raise ValueError
    return _StorageInfo(place["file"], start, count)


def _sizes(values: Any) -> torch.Size:
    if not isinstance(values, list):
        raise TypeError
    return torch.Size([_count(value) for value in values])


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError
    return value

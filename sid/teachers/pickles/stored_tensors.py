"""Reads the tensors in torch's files without torch: storages, and the two containers that hold them.

Nothing is allocated by what a file declares: a storage is as large as the bytes that the file has, and a tensor must
fit into its storage without repeating an element.
"""

from __future__ import annotations

import io
import math
import posixpath
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault
from sid.teachers.pickles.inert_pickle import Name, Policy, Stream, read

if TYPE_CHECKING:
    import torch


# Storage class -> dtype and bytes per element. Complex and quantised numbers do not occur in networks.
STORAGES = {
    "FloatStorage": ("float32", 4),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "DoubleStorage": ("float64", 8),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # the start of torch's files before version 1.6
MOST_ELEMENTS = 2**40
MOST_DIMENSIONS = 16
# What the zip module raises for a damaged or forged archive.
ZIP_ERRORS = (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, OverflowError)


@dataclass(eq=False, repr=False)
class Storage:
    """A flat array of numbers: `bytes_of` reads it, `size` is its actual size in bytes."""

    dtype: str
    itemsize: int
    size: int
    bytes_of: Callable[[], bytes | memoryview]

    @property
    def elements(self) -> int:
        return self.size // self.itemsize


@dataclass(frozen=True, eq=False, repr=False)
class StoredTensor:
    """A tensor as a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.storage.itemsize

    def load(self) -> torch.Tensor:
        """The tensor, in memory of its own."""
        import torch

        dtype = getattr(torch, self.storage.dtype)
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=dtype)
        values = torch.frombuffer(bytearray(self.storage.bytes_of()), dtype=dtype)
        return values.as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)


def rebuilt(arguments: tuple[Any, ...]) -> StoredTensor:
    """The view that torch's rebuild functions make from (storage, offset, shape, stride, ...)."""
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise Fault("it rebuilds a tensor from something that is no storage")
    storage, offset, shape, stride = arguments[:4]
    if not (isinstance(shape, tuple) and isinstance(stride, tuple) and len(shape) == len(stride)):
        raise Fault("it rebuilds a tensor whose shape and stride differ in length")
    if not all(type(number) is int and 0 <= number < MOST_ELEMENTS for number in (offset, *shape, *stride)):
        raise Fault("it rebuilds a tensor of an impossible shape")
    # Without elements too: torch refuses to make a tensor whose other sizes multiply to more than it can count.
    if len(shape) > MOST_DIMENSIONS or math.prod(max(length, 1) for length in shape) > MOST_ELEMENTS:
        raise Fault("it rebuilds a tensor of an impossible shape")
    elements = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if elements and (last >= storage.elements or elements > storage.elements):
        raise Fault(
            f"it declares a tensor of {elements} elements, up to number {last + 1}, in a storage of {storage.elements}"
        )
    return StoredTensor(storage, offset, shape, stride)


def is_storage(name: Name) -> bool:
    return (name.module == "torch" and name.name in STORAGES) or str(name) == "torch.storage.UntypedStorage"


def storage_identity(identity: Any) -> tuple[str, int, str, int]:
    """(dtype, bytes per element, key, bytes) that a torch file's persistent id declares."""
    if not (isinstance(identity, tuple) and len(identity) in (5, 6) and identity[0] == "storage"):
        raise Fault("it refers to persistent ids that are no torch storages")
    _, kind, key, _, elements, *view = identity
    if not (isinstance(kind, Name) and is_storage(kind)) or any(part is not None for part in view):
        raise Fault("it refers to a storage of an unknown kind")
    if not isinstance(key, str) or type(elements) is not int or not 0 <= elements < MOST_ELEMENTS:
        raise Fault("it refers to a storage by an impossible key or size")
    dtype, itemsize = STORAGES.get(kind.name, ("uint8", 1))
    return dtype, itemsize, key, elements * itemsize


class _WithStorages(Policy):
    """A policy whose persistent ids are the storages of a container; all else goes to the inner policy."""

    def __init__(self, inner: Policy):
        self.inner = inner
        self.storages: dict[tuple[str, str], Storage] = {}  # by key and dtype

    def admit(self, name: Name) -> None:
        if not is_storage(name):
            self.inner.admit(name)

    def call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        return self.inner.call(name, arguments)

    def make(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        return self.inner.make(name, arguments)

    def persistent(self, identity: Any) -> Storage | Name:
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            if not isinstance(identity[1], Name):
                raise Fault("it refers to a class that it does not name")
            return identity[1]  # old files add the class's source text: only the name is used
        dtype, itemsize, key, size = storage_identity(identity)
        if (key, dtype) not in self.storages:
            self.storages[key, dtype] = self.storage(dtype, itemsize, key, size)
        return self.storages[key, dtype]

    def storage(self, dtype: str, itemsize: int, key: str, size: int) -> Storage:
        """A storage whose bytes come later in the file, as in a legacy container."""
        return Storage(dtype, itemsize, size, lambda: b"")


def read_legacy(stream: Stream, size: int, policy: Policy) -> Any:
    """torch's container before 1.6: three pickles of metadata, the object, the storages' keys, their bytes."""
    plain = Policy()
    if read(stream, plain) != MAGIC or read(stream, plain) != PROTOCOL:
        raise Fault("it holds bytes that are no torch file")
    system = read(stream, plain)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise Fault("it was written on a big-endian machine")
    objects = _WithStorages(policy)
    value = read(stream, objects)
    keys = read(stream, plain)
    by_key = {key: storage for (key, _), storage in objects.storages.items()}
    if not isinstance(keys, list) or len(keys) != len(objects.storages) or set(map(str, keys)) != set(by_key):
        raise Fault("its list of storages is not that of its tensors")
    for key in keys:
        _fill_legacy(by_key[str(key)], stream, size)
    return value


def _fill_legacy(storage: Storage, stream: Stream, size: int) -> None:
    """Reads the next storage of a legacy container: its length, then its bytes, both checked against the file's."""
    header = stream.read(8)
    declared = struct.unpack("<q", header)[0] * storage.itemsize if len(header) == 8 else -1
    left = size - stream.tell()
    if declared != storage.size or declared > left:
        raise Fault(
            f"it is truncated or declares more than it holds: a storage of {storage.size} bytes, {left} are left"
        )
    content = stream.read(declared)
    storage.bytes_of = lambda: content


def read_storage(content: Any) -> Storage:
    """The storage in the bytes of a pickled tensor, which are a legacy container of their own."""
    if not isinstance(content, bytes):
        raise Fault("it loads a storage from something that is no bytes")
    try:
        value = read_legacy(io.BytesIO(content), len(content), Policy())
    except Fault as fault:
        raise Fault(f"{fault} (in the bytes of a storage)") from fault
    if not isinstance(value, Storage):
        raise Fault("it holds something other than a storage in a storage's bytes")
    return value


class _Archive(_WithStorages):
    """A policy whose persistent ids are members of a zip archive."""

    def __init__(self, inner: Policy, archive: zipfile.ZipFile, root: str):
        super().__init__(inner)
        self.archive, self.root = archive, root

    def storage(self, dtype: str, itemsize: int, key: str, size: int) -> Storage:
        member = f"{self.root}/data/{key}"
        if not key.isalnum() or member not in self.archive.NameToInfo:
            raise Fault(f"it refers to a storage '{key}' that the archive does not hold")
        there = self.archive.getinfo(member).file_size
        if size > there:
            raise Fault(f"it declares a storage of {size} bytes where the archive holds {there}")
        return Storage(dtype, itemsize, size, lambda: read_member(self.archive, member)[:size])


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes; a Fault where they are not what the archive's table says."""
    try:
        content = archive.read(name)
    except ZIP_ERRORS as error:
        raise Fault(f"its archive is damaged in '{name}': {error}") from error
    if len(content) != archive.getinfo(name).file_size:
        raise Fault(f"its archive is damaged in '{name}': it holds {len(content)} bytes")
    return content


def read_archive(path: Path, archive: zipfile.ZipFile, policy: Policy) -> Any:
    """torch's container since 1.6: a zip archive of uncompressed members under one folder."""
    members = archive.infolist()
    names = [member.filename for member in members]
    for name in names:
        if name.startswith("/") or "\\" in name or ":" in name or posixpath.normpath(name).startswith(".."):
            raise Fault(f"its archive holds the path '{name}', which leads out of the archive")
    if len(set(names)) != len(names):
        raise Fault("its archive holds the same name twice")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise Fault("its archive is compressed or encrypted, which torch's files never are")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise Fault("its archive declares more bytes than the file has")
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise Fault("its archive is not one that torch.save writes (no single data.pkl)")
    root = pickles[0].split("/")[0]
    if f"{root}/byteorder" in names and read_member(archive, f"{root}/byteorder").strip() != b"little":
        raise Fault("it was written on a big-endian machine")
    return read(io.BytesIO(read_member(archive, pickles[0])), _Archive(policy, archive, root))

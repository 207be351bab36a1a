"""Pickles written instruction by instruction: published files and hostile ones, without any class to pickle.

The published layout is what EDM's persistence writes: every module is a call of one function with a record of
class name, source text and state; tensors are calls of torch's rebuilding functions over storages, and a storage
is the bytes of a small torch file of its own.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGE_OF = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


@dataclass(frozen=True)
class Global:
    module: str
    name: str


@dataclass
class Call:
    """REDUCE, then BUILD where there is a state."""

    function: Any
    arguments: tuple = ()
    state: Any = None


@dataclass
class New:
    """NEWOBJ, then BUILD."""

    of: Global
    state: Any = None


@dataclass
class PersistentId:
    identity: Any


@dataclass
class Raw:
    """Instructions as they are."""

    code: bytes


def _number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def code(value: Any, protocol: int = 4) -> bytes:
    """The instructions that leave `value` on the stack."""
    again = lambda part: code(part, protocol)  # noqa: E731
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return _number(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            return _text(value)
        case bytes() if protocol >= 3:
            return b"B" + struct.pack("<I", len(value)) + value
        case bytes():  # how protocol 2 writes bytes
            return again(Call(Global("_codecs", "encode"), (value.decode("latin1"), "latin1")))
        case tuple():
            return b"(" + b"".join(map(again, value)) + b"t"
        case list():
            return b"](" + b"".join(map(again, value)) + b"e"
        case dict():
            return b"}(" + b"".join(again(key) + again(part) for key, part in value.items()) + b"u"
        case set() if protocol >= 4:
            return b"\x8f(" + b"".join(map(again, sorted(value))) + b"\x90"
        case set():
            return again(Call(Global("__builtin__", "set"), (sorted(value),)))
        case Global() if protocol >= 4:
            return _text(value.module) + _text(value.name) + b"\x93"
        case Global():
            return b"c" + f"{value.module}\n{value.name}\n".encode()
        case Call():
            built = again(value.state) + b"b" if value.state is not None else b""
            return again(value.function) + again(value.arguments) + b"R" + built
        case New():
            built = again(value.state) + b"b" if value.state is not None else b""
            return again(value.of) + b")\x81" + built
        case PersistentId():
            return again(value.identity) + b"Q"
        case Raw():
            return value.code
    raise TypeError(type(value))


def pickled(value: Any, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + code(value, protocol) + b"."


def storage_file(array: np.ndarray, declared: int | None = None) -> bytes:
    """The bytes of a storage: three pickles about the file, the storage, its key, its length and its content."""
    elements = array.size if declared is None else declared
    kind = Global("torch", STORAGE_OF[array.dtype.name])
    about = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [MAGIC, PROTOCOL, about, PersistentId(("storage", kind, "94023", "cpu", elements, None)), ["94023"]]
    return b"".join(pickled(part, 2) for part in parts) + struct.pack("<q", elements) + array.tobytes()


def tensor(array: np.ndarray, content: bytes | None = None, shape: tuple | None = None, stride: tuple = ()) -> Call:
    shape = array.shape if shape is None else shape
    stride = stride or tuple(step // array.itemsize for step in array.strides)
    content = storage_file(array) if content is None else content
    storage = Call(Global("torch.storage", "_load_from_bytes"), (content,))
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, shape, stride, False, hooks))


def parameter(array: np.ndarray) -> Call:
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(Global("torch._utils", "_rebuild_parameter"), (tensor(array), True, hooks))


def ordered(parts: dict) -> Call:
    """An OrderedDict, as torch's modules keep their parts before torch 2.5."""
    return Call(Global("collections", "OrderedDict"), ([[key, part] for key, part in parts.items()],))


def module_state(parameters: dict, buffers: dict, modules: dict, **more: Any) -> dict:
    """The attributes of a torch module."""
    return {
        "training": False,
        "_parameters": ordered(parameters),
        "_buffers": ordered(buffers),
        "_non_persistent_buffers_set": set(),
        "_forward_hooks": ordered({}),
        "_modules": ordered(modules),
        **more,
    }


def persistent(class_name: str, state: dict, source: str = "import torch\n\nclass Published: ...\n") -> Call:
    record = {"type": "class", "version": 6, "module_src": source, "class_name": class_name, "state": state}
    return Call(Global(*PERSISTENT), (record,))


def module_tree(arrays: dict[str, np.ndarray], top: str, kwargs: dict, inner: str = "SongUNet", **more: Any) -> Call:
    """Arrays by dotted name as the tree of published modules; `enc` and `dec` are torch's own dictionaries."""
    return _branch({tuple(name.split(".")): array for name, array in arrays.items()}, top, kwargs, inner, more)


def _branch(arrays: dict, class_name: str, kwargs: dict, inner: str, more: dict) -> Any:
    parameters = {path[0]: array for path, array in arrays.items() if len(path) == 1}
    buffers = {name: parameters.pop(name) for name in ("resample_filter", "freqs") if name in parameters}
    children = dict.fromkeys(path[0] for path in arrays if len(path) > 1)
    modules = {}
    for child in children:
        below = {path[1:]: array for path, array in arrays.items() if path[0] == child}
        modules[child] = _branch(below, inner if child == "model" else "UNetBlock", {}, inner, {})
        if child in ("enc", "dec"):
            modules[child] = New(
                Global("torch.nn.modules.container", "ModuleDict"), modules[child].arguments[0]["state"]
            )
    root_of_half = Call(
        Global("numpy.core.multiarray", "scalar"),
        (
            Call(Global("numpy", "dtype"), ("f8", False, True), (3, "<", None, None, None, -1, -1, 0)),
            struct.pack("<d", 0.5**0.5),
        ),
    )
    state = module_state(
        {**{name: parameter(array) for name, array in parameters.items()}, "absent": None},
        {name: tensor(array) for name, array in buffers.items()},
        modules,
        skip_scale=root_of_half,
        _init_args=(),
        _init_kwargs=kwargs,
        **more,
    )
    return persistent(class_name, state)

"""The names that published networks' pickles need, and what replaces each of them.

Any name that is not listed is refused. None of the real functions or classes is imported.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from typing import Any

from sid.fault import Fault
from sid.teachers.pickles.inert_pickle import Name, Policy, Shell
from sid.teachers.pickles.stored_tensors import read_storage, rebuilt

PERSISTENT = Name("torch_utils.persistence", "_reconstruct_persistent_obj")
MAPPINGS = {"collections.OrderedDict", "dnnlib.util.EasyDict", "diffusers.configuration_utils.FrozenDict"}
# Classes of layers, which become shells: the real class is never imported.
LAYER_MODULE = re.compile(r"(torch\.nn\.modules|diffusers)(\.\w+)*")
LAYER_CLASS = re.compile(r"[A-Z]\w*")
DTYPE = re.compile(r"[<>|=]?[biuf]\d{1,2}")
TORCH_DTYPES = {"float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool"}
ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")  # numpy 1 and 2


class PublishedPolicy(Policy):
    """Allows the names that published networks need, each replaced by a few lines of our own."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {
            str(PERSISTENT): _persistent_object,
            "torch.storage._load_from_bytes": lambda content: read_storage(content),
            "torch._utils._rebuild_tensor_v2": lambda *arguments: rebuilt(arguments),
            "torch._utils._rebuild_tensor": lambda *arguments: rebuilt(arguments),
            "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
            "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
            "torch.device": lambda kind, *_: kind,
            "torch.Size": lambda sizes=(): tuple(sizes),
            "_codecs.encode": _encoded,
            "numpy.dtype": _dtype,
        }
        for module in ARRAYS:
            self.functions[f"{module}.scalar"] = _scalar
            self.functions[f"{module}._reconstruct"] = _array
        for module in ("__builtin__", "builtins"):
            self.functions[f"{module}.set"] = _members
            self.functions[f"{module}.frozenset"] = _members
            self.functions[f"{module}.bytes"] = _no_bytes

    def admit(self, name: Name) -> None:
        known = str(name) in self.functions or str(name) in MAPPINGS or str(name) == "numpy.ndarray"
        dtype = name.module == "torch" and name.name in TORCH_DTYPES
        if not (known or dtype or _is_layer(name)):
            raise Fault(f"it names {name}, which no published network needs")

    def call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        if str(name) in self.functions:
            return self.functions[str(name)](*arguments)
        return self.make(name, arguments)

    def make(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        if str(name) in MAPPINGS:
            pairs = arguments[0] if arguments else []
            if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) for pair in pairs):
                raise Fault(f"it makes a {name} from something that is no list of pairs")
            return {_text(key): value for key, value in pairs}
        if _is_layer(name):
            return Shell(name, arguments)
        return super().make(name, arguments)


def _is_layer(name: Name) -> bool:
    return bool(LAYER_MODULE.fullmatch(name.module) and LAYER_CLASS.fullmatch(name.name))


def _text(key: Any) -> Any:
    if not isinstance(key, str | int):
        raise Fault("it holds a mapping with a key that is no text")
    return key


def _members(values: Any = ()) -> set[Any]:
    if not isinstance(values, list | tuple) or not all(isinstance(value, str | int | float) for value in values):
        raise Fault("it makes a set of something other than texts and numbers")
    return set(values)


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise Fault("it makes bytes from a declared size")
    return b""


def _array(*_: Any) -> Shell:
    """A numpy array (the encoders of latent models hold some); its dtype is checked by `_dtype`."""
    return Shell(Name("numpy", "ndarray"))


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Fault("it encodes text in a way that no pickle of bytes does")
    return text.encode("latin1")


def _dtype(code: Any, *_: Any) -> Shell:
    if not isinstance(code, str) or not DTYPE.fullmatch(code):
        kind = f"of the type '{code}'" if isinstance(code, str) else "of an unreadable type"
        raise Fault(f"it holds a numpy array {kind}, which may hold objects; only numbers are read")
    return Shell(Name("numpy", "dtype"), (code,))


def _scalar(dtype: Any, content: Any = None) -> bool | int | float:
    """A numpy number, such as the square root of 1/2 that scales the skips."""
    if not isinstance(dtype, Shell) or str(dtype.of) != "numpy.dtype" or not isinstance(content, bytes):
        raise Fault("it holds a numpy scalar that is no number")
    code = dtype.arguments[0].lstrip("<>|=")
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    letters = {"b1": "?", "f2": "e", "f4": "f", "f8": "d", **dict(zip(["i1", "i2", "i4", "i8"], "bhiq", strict=True))}
    letters |= {f"u{size}": letter.upper() for size, letter in zip((1, 2, 4, 8), "bhiq", strict=True)}
    try:
        return struct.unpack((">" if order == ">" else "<") + letters[code], content)[0]
    except (KeyError, struct.error) as error:
        raise Fault(f"it holds a numpy scalar of the type '{code}' in {len(content)} bytes") from error


def _persistent_object(record: Any) -> Shell:
    """An object with embedded source: class name, state and the source's sha256 are kept, the source is never run."""
    if not isinstance(record, dict) or not isinstance(record.get("class_name"), str):
        raise Fault("it holds a persistent object without a class name")
    source = record.get("module_src", "")
    source = source if isinstance(source, str) else ""
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    shell = Shell(Name("published", record["class_name"]), (digest, record.get("version")))
    shell.state = record.get("state")
    return shell

"""Damaged folders of teachers and generators, made by code. All but those called "sound" are refused."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save

from sid import generator
from sid.generator import Generator
from tests import toy

SETTINGS = {"shape": list(toy.SHAPE), "width": 16, "depth": 2, "classes": toy.CLASSES, "dropout": 0.0}
TEACHER = {"family": "mlp", "settings": SETTINGS, "data": "digits", "conditional": True}
DEEP = b'{"a": ' * 20_000 + b"1" + b"}" * 20_000


def changed(key: str, value: Any) -> dict[str, Any]:
    """The facts with one of them, or one setting, replaced."""
    if key in SETTINGS:
        return {**TEACHER, "settings": {**SETTINGS, key: value}}
    return {**TEACHER, key: value}


def descriptions() -> Iterator[tuple[str, bytes]]:
    """(name, content) of a description that is none."""
    yield from (("empty", b""), ("zeros", bytes(40)), ("a list", b"[]"), ("null", b"null"), ("deep", DEEP))
    yield "no text", b"\xff\xfe\x00"
    yield "cut", json.dumps(TEACHER).encode()[:-20]
    for key in TEACHER:
        if key not in ("data", "settings"):
            yield f"without {key}", json.dumps({name: value for name, value in TEACHER.items() if name != key}).encode()
    wrong = {
        "family": ("mpl", 3, None, ["mlp"], "../mlp"),
        "data": (3, ["digits"], "digitz", {"a": 1}),
        "conditional": (None, "yes", 2),
        "settings": ([], "x", 3, {"width": 16, "colour": 1}),
        "width": (10**12, -16, "wide", None, 1.5, [16]),
        "depth": (10**9, "deep", None, 2.5, 3),
        "shape": ([], [1, 4], "xyz", [10**6, 10**6, 10**6], [1, -4, 4], None),
        "classes": (10**10, "many", -2, 4),
        "dropout": ("x", 7.0, [0.1]),
    }
    for key, values in wrong.items():
        for value in values:
            yield f"{key} = {value!r}", json.dumps(changed(key, value)).encode()


def weights(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of a safetensors file that is none, or another network's."""
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    first = sorted(name for name in header if name != "__metadata__")[0]

    def forged(**entry: Any) -> bytes:
        text = json.dumps({**header, first: {**header[first], **entry}}).encode()
        return struct.pack("<Q", len(text)) + text + whole[8 + length :]

    yield from (("empty", b""), ("zeros", bytes(64)), ("text", b"hello"), ("cut", whole[:-9]), ("more", whole + b"x"))
    yield "a huge header", struct.pack("<Q", 2**62) + whole[8:]
    yield "a deep header", struct.pack("<Q", len(DEEP)) + DEEP
    yield "a huge shape", forged(shape=[2**40, 2**40])
    yield "a negative shape", forged(shape=[-1])
    yield "no dimensions", forged(shape=[])
    yield "offsets outside", forged(data_offsets=[0, 2**50])
    yield "offsets backwards", forged(data_offsets=[64, 0])
    yield "another type", forged(dtype="I8")
    yield "no type", forged(dtype="object")
    yield "another network", save(toy.teacher(conditional=False).network.state_dict())


def make(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """(name, "teacher" or "generator", folder): each a whole one but for one file."""
    whole = save(toy.teacher().network.state_dict())
    number = 0
    for kind, named in (("teacher", "network"), ("generator", "generator")):
        cases = [("sound", None, None)]
        cases += [(f"{kind}.json: {name}", content, None) for name, content in descriptions()]
        cases += [(f"{named}.safetensors: {name}", None, content) for name, content in weights(whole)]
        for name, description, tensors in cases:
            place = folder / f"folder-{number}"
            number += 1
            place.mkdir()
            if kind == "teacher":
                (place / "teacher.json").write_bytes(json.dumps(TEACHER).encode())
                (place / "network.safetensors").write_bytes(whole)
            else:
                generator.save(Generator(toy.teacher()), place, {"data": "digits", "conditional": True})
            if description is not None:
                (place / f"{kind}.json").write_bytes(description)
            if tensors is not None:
                (place / f"{named}.safetensors").write_bytes(tensors)
            yield name, kind, place

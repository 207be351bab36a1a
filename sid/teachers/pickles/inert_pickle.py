"""Reads a pickle as data. Nothing in it runs: no global is imported, no class is instantiated, no function is called.

A pickle is a program for a small stack machine. This is that machine without its dangerous instructions: a global
becomes a `Name`, an object a `Shell` with its state, and a call goes to a `Policy`, which has our own code for a few
names and refuses every other by its name. The `pickle` module is not used.
"""

from __future__ import annotations

import io
import mmap
import pickletools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sid.fault import Fault

Stream = io.BytesIO | mmap.mmap
_MARK = object()

LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# fmt: off
VALUES = frozenset((
    "INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES",
    "BINBYTES8", "BYTEARRAY8",
))
# fmt: on
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


MOST_STEPS = 1_000_000  # instructions of one pickle, a network's being some ten thousand; and, for long lists of texts,
BYTES_A_STEP = 8  # one more for so many bytes
COPIED = 4  # times its own size that a pickle may have its values copied by the policy's functions
FREE_COPIES = 2**20  # copied values beside that


@dataclass(frozen=True)
class Name:
    """A global that the pickle names; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Shell:
    """The stand-in for an object: its class by name, and the state that the pickle sets."""

    of: Name
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


class Policy:
    """What a pickle may name, call and refer to. The base allows nothing; override what is allowed."""

    def admit(self, name: Name) -> None:
        """Raises a Fault unless the pickle may name this global."""
        raise Fault(f"it names {name}, which no published network needs")

    def call(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        """The result of the call, by our own code."""
        raise Fault(f"it calls {name}, which no published network needs")

    def make(self, name: Name, arguments: tuple[Any, ...]) -> Any:
        """The stand-in for a new object of that class."""
        raise Fault(f"it makes an object of {name}, which no published network needs")

    def persistent(self, identity: Any) -> Any:
        """The object of a persistent id."""
        raise Fault("it refers to persistent ids, which lie outside the file")


def read(stream: Stream, policy: Policy) -> Any:
    """The value of one pickle, after which the stream stands; a Fault for anything that the policy refuses."""
    machine = _Machine(policy, COPIED * _left(stream) + FREE_COPIES, MOST_STEPS + _left(stream) // BYTES_A_STEP)
    try:
        opcodes: Iterator[tuple[pickletools.OpcodeInfo, Any, Any]] = pickletools.genops(stream)  # type: ignore[arg-type]
        for opcode, argument, position in opcodes:
            if opcode.name == "STOP":
                return machine.pop()
            if opcode.name == "FRAME" and argument > _left(stream):
                raise Fault(f"it is truncated: a frame declares {argument} bytes, {_left(stream)} are left")
            machine.step(opcode.name, argument, position)
    except (ValueError, OverflowError, MemoryError, struct.error, RecursionError) as error:
        raise Fault(f"it is truncated or no pickle: {error}") from error
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise Fault(f"it is no well-formed pickle ({type(error).__name__}: {error})") from error
    raise Fault("it is truncated")


def _left(stream: Stream) -> int:
    size = stream.size() if isinstance(stream, mmap.mmap) else stream.getbuffer().nbytes
    return size - stream.tell()


class _Machine:
    """The stack and the memo. Every value on them is inert."""

    def __init__(self, policy: Policy, copies: int, steps: int):
        self.policy, self.copies, self.steps = policy, copies, steps
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}  # a dict: an index of 2^32 costs one entry, not 2^32

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise IndexError("a mark where a value is expected")
        return value

    def top(self) -> Any:
        if self.stack[-1] is _MARK:
            raise IndexError("a mark where a value is expected")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def pay(self, *values: Any) -> None:
        """Counts what a call may copy: a few shared values must not become gigabytes, or hours."""
        for value in values:
            self.copies -= 1 + (len(value) if isinstance(value, str | bytes | list | tuple | dict | set) else 0)
            if isinstance(value, dict):
                self.pay(*[part for part in value.values() if isinstance(part, str | bytes)])
        if self.copies < 0:
            raise Fault("it has its values copied more often than any published network needs")

    def step(self, opcode: str, argument: Any, position: int) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Fault("it has more instructions than any published file of its size")
        push = self.stack.append
        if opcode in VALUES:
            push(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif opcode in LITERALS:
            push(LITERALS[opcode])
        elif opcode in EMPTY:
            push(EMPTY[opcode]())
        elif opcode in TUPLES:
            push(tuple([self.pop() for _ in range(TUPLES[opcode])][::-1]))
        elif opcode in ("PROTO", "FRAME"):
            pass
        elif opcode in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.top()
        elif opcode == "MEMOIZE":
            self.memo[len(self.memo)] = self.top()
        elif opcode in ("GET", "BINGET", "LONG_BINGET"):
            push(self.memo[argument])
        elif opcode == "MARK":
            push(_MARK)
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        else:
            raise Fault(
                f"it uses the pickle instruction {opcode} (at byte {position}), which no published network needs"
            )

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a global whose name is no text")
        admitted = Name(module, name)
        self.policy.admit(admitted)
        self.stack.append(admitted)

    def call(self, _: Any = None) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Fault("it calls something that is not a named function")
        self.pay(*arguments)
        self.stack.append(self.policy.call(function, arguments))

    def make(self, keywords: bool = False) -> None:
        if keywords:
            self.pop()  # a class's keyword arguments are in its state as well
        arguments, of = self.pop(), self.pop()
        if not isinstance(of, Name) or not isinstance(arguments, tuple):
            raise Fault("it makes an object of something that is not a named class")
        self.pay(*arguments)
        self.stack.append(self.policy.make(of, arguments))

    def build(self, _: Any = None) -> None:
        state, target = self.pop(), self.top()
        if isinstance(target, Shell):
            target.state = state
        elif not isinstance(target, dict):  # attributes of a mapping (`_metadata` of a state dict) are not needed
            raise Fault("it sets the state of something that is no object")

    def append(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise TypeError("appends to what is no list")
        target.extend(values)

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, set):
            raise TypeError("adds to what is no set")
        target.update(_key(value) for value in values)

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        items = target.items if isinstance(target, Shell) else target
        if not isinstance(items, dict):
            raise TypeError("sets items of what is no mapping")
        items.update(_pairs(values))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise IndexError("a key without a value")
    return {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}


def _key(value: Any) -> Any:
    """A mapping's key or a set's member, which must be plain: hashing nested shared tuples may take for ever."""
    parts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(part, str | bytes | int | float | Name | None) for part in parts):
        raise TypeError("a key that is no plain value")
    return value


_STEPS = {
    "GLOBAL": lambda machine, argument: machine.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*[machine.pop(), machine.pop()][::-1]),
    "REDUCE": _Machine.call,
    "NEWOBJ": lambda machine, _: machine.make(),
    "NEWOBJ_EX": lambda machine, _: machine.make(keywords=True),
    "BUILD": _Machine.build,
    "BINPERSID": lambda machine, _: machine.stack.append(machine.policy.persistent(machine.pop())),
    "PERSID": lambda machine, argument: machine.stack.append(machine.policy.persistent(argument)),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.pop_to_mark()),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "DICT": lambda machine, _: machine.stack.append(_pairs(machine.pop_to_mark())),
    "FROZENSET": lambda machine, _: machine.stack.append(frozenset(map(_key, machine.pop_to_mark()))),
}

"""Hostile pickles and torch archives, made by code: name -> (file name, content). None may run, flood or hang."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from tests.sid.teachers import test_hostile_pickles as known
from tests.sid.teachers.pickle_opcodes import (
    Call,
    Global,
    Raw,
    code,
    module_state,
    parameter,
    persistent,
    pickled,
    tensor,
)
from tests.sid.teachers.published_files import TINY, archive_of, archived, one_weight

MARK = "executed"  # a file that appears where something ran
CALLS = {
    "posix.system": (f"touch {MARK}",),
    "os.system": (f"touch {MARK}",),
    "os.popen": (f"touch {MARK}",),
    "os.remove": ("x",),
    "subprocess.Popen": (["touch", MARK],),
    "subprocess.check_output": (["touch", MARK],),
    "builtins.eval": (f"open('{MARK}', 'w')",),
    "builtins.exec": (f"open('{MARK}', 'w')",),
    "builtins.open": (MARK, "w"),
    "builtins.compile": ("1", "x", "exec"),
    "builtins.getattr": ("x", "y"),
    "builtins.__import__": ("os",),
    "__builtin__.eval": ("1",),
    "io.open": (MARK, "w"),
    "pathlib.Path.touch": (MARK,),
    "importlib.import_module": ("os",),
    "runpy.run_path": (MARK,),
    "shutil.rmtree": (".",),
    "pty.spawn": ("sh",),
    "webbrowser.open": ("x",),
    "operator.attrgetter": ("x",),
    "operator.methodcaller": ("x",),
    "functools.partial": ("x",),
    "types.FunctionType": ("x",),
    "codecs.decode": ("x", "rot13"),
    "pickle.loads": (b"\x80\x04N.",),
    "marshal.loads": (b"N",),
    "ctypes.CDLL": ("libc.so.6",),
    "torch.load": ("x",),
    "torch.hub.load": ("x", "y"),
    "torch.package.PackageImporter": ("x",),
    "numpy.load": ("x",),
    "numpy.fromfile": ("x",),
    "numpy.lib.npyio.load": ("x",),
    "multiprocessing.util.spawnv_passfds": ("x",),
    "socket.create_connection": (("127.0.0.1", 1),),
    "urllib.request.urlopen": ("http://127.0.0.1",),
    "sys.setrecursionlimit": (10**9,),
    "dnnlib.util.call_func_by_name": ("x",),
    "torch_utils.persistence._src_to_module": ("import os",),
}


def _network(**settings: object) -> bytes:
    weight = module_state({"weight": parameter(np.ones(2, np.float32))}, {}, {}, _init_kwargs={**TINY, **settings})
    return pickled({"ema": persistent("EDMPrecond", weight)})


def _copied_sets() -> bytes:
    """A list of 30,000 members that 10,000 calls copy: 80 KB that become gigabytes."""
    members = b"]\x94(" + b"K\x01" * 30_000 + b"e0"
    call = b"cbuiltins\nset\n" + b"h\x00\x85R"
    return b"\x80\x04" + members + b"](" + call * 3000 + b"e."


def _copied_text() -> bytes:
    text = b"X" + struct.pack("<I", 40_000) + b"a" * 40_000 + b"\x940"
    return b"\x80\x04" + text + b"](" + (b"c_codecs\nencode\n" + b"h\x00X\x06\x00\x00\x00latin1\x86R") * 3000 + b"e."


def _copied_mapping() -> bytes:
    pairs = b"]\x94(" + b"K\x01K\x02\x86" * 10_000 + b"e0"
    return b"\x80\x04" + pairs + b"](" + b"ccollections\nOrderedDict\nh\x00\x85R" * 5000 + b"e."


def _shared_modules(levels: int) -> bytes:
    """Each module holds the one below twice, by the memo: 2^levels modules with long names in some kilobytes."""
    leaf = persistent("Block", module_state({"weight": parameter(np.ones(2, np.float32))}, {}, {}))
    stream = b"\x80\x04" + code(leaf, 4) + b"\x940"
    for level in range(levels):
        below = Raw(b"h" + bytes([level]))
        two = persistent("Block", module_state({}, {}, {"a" * 190: below, "b" * 190: below}))
        stream += code(two, 4) + b"\x940"
    top = module_state({}, {}, {"model": Raw(b"h" + bytes([levels]))}, _init_kwargs=TINY)
    return stream + code({"ema": persistent("EDMPrecond", top)}, 4) + b"."


def _many_entries() -> bytes:
    absent = {f"w{number}": None for number in range(250_000)}
    return pickled({"ema": persistent("EDMPrecond", module_state(absent, {}, {}, _init_kwargs=TINY))})


def _flipped(content: bytes, place: int) -> bytes:
    flipped = bytearray(content)
    flipped[place % len(content)] ^= 0x41
    return bytes(flipped)


def corpus() -> Iterator[tuple[str, str, bytes]]:
    """(name, file name, content)"""
    for name, (build, _) in known.HOSTILE.items():
        yield f"known: {name}", "a.pkl", build()
    for name, arguments in CALLS.items():
        module, _, function = name.rpartition(".")
        call = Call(Global(module, function), arguments)
        yield f"calls {name}", "a.pkl", pickled({"ema": call})
        yield f"calls {name} in an archive", "a.pt", archive_of({"ema": call}, {})
    budgets = {
        "copied sets": _copied_sets(),
        "copied text": _copied_text(),
        "copied mapping": _copied_mapping(),
        "shared modules": _shared_modules(60),
        "deep modules": _shared_modules(100),
        "many entries": _many_entries(),
        "many instructions": b"\x80\x04](" + b"N0" * 2_000_000 + b"e.",
        "large memo": b"\x80\x04N" + b"\x94" * 3_100_000 + b".",
        "deep lists": b"\x80\x04" + b"]" * 200_000 + b"a" * 199_999 + b".",
        "deep tuples": b"\x80\x04N" + b"\x85" * 500_000 + b".",
        "a mark alone": b"\x80\x04(.",
        "an empty stack": b"\x80\x04.",
        "an unknown instruction": b"\x80\x04\xff.",
        "an unknown memo": b"\x80\x04h\x05.",
        "a huge memo index": b"\x80\x04Nr\xff\xff\xff\xff0j\xfe\xff\xff\xff.",
        "a long integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1),
        "a negative length": b"\x80\x02\x8b" + struct.pack("<i", -5),
        "a huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60),
        "extension codes": b"\x80\x04\x82\x01.",
        "a buffer outside": b"\x80\x05\x97.",
        "protocol 200": b"\x80\xc8N.",
        "an instance of the old kind": b"(S'touch x'\nios\nsystem\n.",
        "empty": b"",
        "zeros": bytes(1000),
        "text": b"hello\n",
    }
    yield from ((name, "a.pkl", content) for name, content in budgets.items())
    settings = {
        "num_blocks": 10**9,
        "model_channels": 2**40,
        "channel_mult": [1] * 60,
        "img_resolution": "sixteen",
        "attn_resolutions": {"a": 1},
        "num_blocks ": [[1] * 64] * 64,
    }
    yield from ((f"setting {name}", "build.pkl", _network(**{name.strip(): value})) for name, value in settings.items())
    shapes = {"zero": (0, 2**39, 2**39), "many": (1,) * 64, "negative": (-1, 2), "boolean": (True, 2), "text": ("2",)}
    for name, shape in shapes.items():
        weight = tensor(np.ones(2, np.float32), shape=shape, stride=(1,) * len(shape))
        yield f"shape {name}", "a.pkl", pickled({"ema": one_weight(weight)})
    whole = archive_of({"ema": one_weight(archived("0", 4, (4,)))}, {"0": bytes(16)})
    for part in range(1, 20):
        yield f"flipped byte {part} of an archive", "either.pt", _flipped(whole, part * len(whole) // 20)
    for part in (0.3, 0.6, 0.9):
        yield f"{part} of an archive", "a.pt", whole[: int(part * len(whole))]
    for place, name in ((18, "compressed"), (22, "size")):  # in the local headers
        lying = whole[:place] + struct.pack("<I", 2**31 - 1) + whole[place + 4 :]
        yield f"a lying {name} size", "either.pt", lying
    table = whole.rindex(b"PK\x01\x02")
    for place, name in ((20, "compressed"), (24, "size"), (42, "offset")):
        at = table + place
        file = "either.pt" if name == "compressed" else "a.pt"  # stored members end by their own size and checksum
        yield f"a lying {name} in the table", file, whole[:at] + struct.pack("<I", 2**31 - 1) + whole[at + 4 :]
    forged = Raw(b"X\x2a\x00\x00\x00a\nsidbench: everything verified\x1b[2J" + b"x" * 6)
    yield "a forged line in a name", "a.pkl", pickled({"ema": one_weight(forged)})
    yield "a name of a megabyte", "a.pkl", pickled({"ema": Call(Global("a" * 1_000_000, "b"), ())})

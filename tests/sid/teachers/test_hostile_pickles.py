"""Hostile files. Under the usual loader each would run a command, fill the memory, or read elsewhere."""

import io
import os
import struct
import zipfile

import numpy as np
import pytest

from sid.fault import Fault
from sid.teachers.pickles.edm_pickle import import_file
from tests.sid.teachers.pickle_opcodes import (
    Call,
    Global,
    PersistentId,
    Raw,
    code,
    module_state,
    parameter,
    persistent,
    pickled,
    storage_file,
    tensor,
)
from tests.sid.teachers.published_files import archive_of, archived, one_weight

OWNED = "owned"
TOUCH = f"touch {OWNED}"


def run_command(module: str = "posix") -> Call:
    return Call(Global(module, "system"), (TOUCH,))


def evil_source() -> bytes:
    source = f"import os\nos.system('{TOUCH}')\n\nclass EDMPrecond: ...\n"
    return pickled({"ema": one_weight(parameter(np.ones(2, np.float32)), source)})


def nested_in_storage() -> bytes:
    return pickled({"ema": one_weight(tensor(np.ones(2, np.float32), content=pickled(run_command())))})


def nested_in_legacy_storage() -> bytes:
    content = b"".join(
        pickled(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, run_command())
    )
    return pickled({"ema": one_weight(tensor(np.ones(2, np.float32), content=content))})


def getattr_eval_chain() -> bytes:
    builtin = Call(Global("builtins", "getattr"), (Global("builtins", "object"), "__subclasses__"))
    return pickled({"ema": Call(Global("builtins", "eval"), (f"__import__('os').system('{TOUCH}')",)), "x": builtin})


def dotted_name() -> bytes:
    return pickled(Call(Global("torch.storage", "os.system"), (TOUCH,)))


def object_array() -> bytes:
    dtype = Call(Global("numpy", "dtype"), ("O8", False, True), (3, "|", None, None, None, -1, -1, 63))
    array = Call(Global("numpy.core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), b"b"))
    return pickled({"ema": Raw(code(array) + code((1, (1,), dtype, False, [run_command()])) + b"b")})


def persistent_ids() -> bytes:
    return pickled({"ema": one_weight(PersistentId(("storage", "FloatStorage", "/etc/passwd", "cpu", 4)))})


def long_string() -> bytes:
    return b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"short" + b"."


def long_frame() -> bytes:
    return b"\x80\x04\x95" + struct.pack("<Q", 1 << 40) + b"N."


def wide_tensor() -> bytes:
    """Four bytes that claim to be 2^38 elements by a stride of zero."""
    weight = tensor(np.ones(1, np.float32), shape=(1 << 38,), stride=(0,))
    return pickled({"ema": one_weight(weight)})


def wide_storage() -> bytes:
    content = storage_file(np.ones(1, np.float32), declared=1 << 38)
    return pickled({"ema": one_weight(tensor(np.ones(1, np.float32), content=content))})


def wide_archive() -> bytes:
    return archive_of({"net": one_weight(archived("0", 1 << 38, (2,)))}, {"0": b"\0" * 8})


def shared_setting() -> bytes:
    """A list of 64 lists of 64 lists ... that are all one and the same: 64^9 texts once written out."""
    inner = b"](" + b"".join([code("text")] * 64) + b"e"
    for _ in range(8):
        inner = b"](" + inner + b"q\0" + b"h\0" * 63 + b"e"
    state = module_state(
        {"weight": parameter(np.ones(2, np.float32))}, {}, {}, _init_kwargs={"channel_mult": Raw(inner)}
    )
    return pickled({"ema": persistent("EDMPrecond", state)})


def path_escape() -> bytes:
    members = {"0": b"\0" * 8, "../../../tmp/owned": b"\0" * 8}
    return archive_of({"net": one_weight(archived("0", 2, (2,)))}, members)


def key_escape() -> bytes:
    return archive_of({"net": one_weight(archived("../data.pkl", 2, (2,)))}, {"0": b"\0" * 8})


def zip_bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + b"0" * 10_000_000)
    return file.getvalue()


def truncated() -> bytes:
    whole = pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))})
    return whole[: len(whole) // 2]


def truncated_archive() -> bytes:
    whole = archive_of({"net": one_weight(archived("0", 2, (2,)))}, {"0": b"\0" * 8})
    return whole[: len(whole) - 30]


HOSTILE = {
    "os.system": (lambda: pickled({"ema": run_command()}), r"names posix\.system"),
    "os.system, protocol 2": (lambda: pickled({"ema": run_command("os")}, 2), r"names os\.system"),
    "os.system after the value": (lambda: pickled({"a": 1})[:-1] + code(run_command()) + b"0.", r"names posix\.system"),
    "instance of a class": (lambda: b"(S'" + TOUCH.encode() + b"'\nios\nsystem\n.", "instruction INST"),
    "extension registry": (lambda: b"\x80\x02\x82\x01.", "instruction EXT1"),
    "nested pickle in storage bytes": (nested_in_storage, r"names posix\.system.*in the bytes of a storage"),
    "nested pickle in a storage's file": (nested_in_legacy_storage, r"names posix\.system.*in the bytes of a storage"),
    "getattr and eval": (getattr_eval_chain, r"names builtins\.eval"),
    "dotted name": (dotted_name, r"names torch\.storage\.os\.system"),
    "object array": (object_array, "numpy array of the type 'O8', which may hold objects"),
    "persistent ids": (persistent_ids, "persistent ids"),
    "declared size of a text": (long_string, "1099511627776 bytes"),
    "declared size of a frame": (long_frame, "1099511627776 bytes"),
    "declared size of a tensor": (wide_tensor, "declares a tensor of 274877906944 elements"),
    "declared size of a storage": (wide_storage, "declares more than it holds"),
    "declared size in an archive": (wide_archive, "where the archive holds 8"),
    "shared settings": (shared_setting, "init argument of the kind list"),
    "path escape in an archive": (path_escape, "leads out of the archive"),
    "path escape by a storage's key": (key_escape, "that the archive does not hold"),
    "compressed archive": (zip_bomb, "compressed"),
    "truncated": (truncated, "truncated"),
    "truncated archive": (truncated_archive, "truncated"),
    "unknown class": (lambda: pickled({"ema": one_weight(1)}), "is no tensor"),
    "no network": (lambda: pickled({"ema": [1, 2]}), "holds no published network"),
    "empty stack": (lambda: b"\x80\x04R.", "no well-formed pickle"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_run_nothing_and_are_refused_in_one_sentence(tmp_path, monkeypatch, kind):
    build, sentence = HOSTILE[kind]
    path = tmp_path / "network.pkl"
    path.write_bytes(build())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    before = {name for name in os.listdir(tmp_path)}
    with pytest.raises(Fault, match=sentence) as refused:
        import_file(path, tmp_path / "out")
    assert len(refused.value.sentences) == 1 and "\n" not in str(refused.value)
    assert str(path) in str(refused.value) and "nothing in it was run" in str(refused.value)
    assert set(os.listdir(tmp_path)) == before


def test_an_embedded_source_is_never_run(tmp_path, monkeypatch):
    (tmp_path / "network.pkl").write_bytes(evil_source())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    assert import_file(tmp_path / "network.pkl", tmp_path / "out")["tensors"] == 1
    assert not (tmp_path / OWNED).exists()


def test_every_truncation_is_refused(tmp_path):
    """Whatever is cut off: a fault, never a traceback and never a network."""
    whole = pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))})
    for length in range(1, len(whole)):
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(Fault):
            import_file(tmp_path / "cut.pkl", tmp_path / "out")


def test_every_flipped_byte_is_read_or_refused(tmp_path):
    whole = pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))})
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "broken.pkl").write_bytes(broken)
        try:
            import_file(tmp_path / "broken.pkl", tmp_path / f"out{place}")
        except Fault as fault:
            assert fault.sentences

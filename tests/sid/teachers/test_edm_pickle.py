"""Published files are read as data: bit for bit, and nothing in them runs."""

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sid.fault import Fault
from sid.teachers.edm import Edm
from sid.teachers.edm_pickle import import_file
from tests.sid.teachers.pickle_opcodes import (
    Call,
    Global,
    New,
    PersistentId,
    Raw,
    code,
    module_state,
    module_tree,
    parameter,
    persistent,
    pickled,
    storage_file,
    tensor,
)

TINY = {
    "img_resolution": 16,
    "img_channels": 3,
    "label_dim": 10,
    "model_type": "SongUNet",
    "model_channels": 8,
    "channel_mult": [1, 2],
    "num_blocks": 1,
    "augment_dim": 9,
    "dropout": 0.13,
    "resample_filter": [1, 1],
}


def made_weights(settings: dict, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Random arrays with the names and shapes of the network those settings describe."""
    random = np.random.default_rng(5)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in Edm().build(settings).network.state_dict().items()}
    return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def write(tmp_path, content: bytes, name: str = "network.pkl"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_published_layout_is_imported_bit_for_bit(tmp_path, protocol, dtype):
    arrays = made_weights(TINY, dtype)
    content = {"ema": module_tree(arrays, "EDMPrecond", TINY), "dataset_kwargs": {"path": "cifar10.zip"}}
    path = write(tmp_path, pickled(content, protocol))
    record = import_file(path, tmp_path / "out")
    found = load_file(tmp_path / "out" / "network.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].numpy().tobytes() == array.tobytes(), name
        assert found[name].numpy().dtype == array.dtype and found[name].shape == array.shape
    assert record == json.loads((tmp_path / "out" / "teacher.json").read_text())
    assert record["class"] == "EDMPrecond" and record["source"]["key"] == "ema"
    assert record["settings"] == {**TINY, "wrapper": "EDMPrecond"}
    network = Edm().load(tmp_path / "out").network  # float16 files become float32
    for name, value in network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(arrays[name]).float())


def archive_of(value, members: dict[str, bytes], root: str = "training-state") -> bytes:
    """A training-state .pt: torch's archive of one pickle and its storages."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickled(value, 2))
        archive.writestr(f"{root}/byteorder", "little")
        for name, content in members.items():
            archive.writestr(name if "/" in name else f"{root}/data/{name}", content)
    return file.getvalue()


def archived(key: str, elements: int, shape: tuple) -> Call:
    storage = PersistentId(("storage", Global("torch", "FloatStorage"), key, "cuda:0", elements))
    hooks = Call(Global("collections", "OrderedDict"))
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), (storage, 0, shape, (1,) * len(shape), True, hooks))


def one_weight(weight, source: str = "") -> Call:
    return persistent("EDMPrecond", module_state({"weight": weight}, {}, {}, _init_kwargs=TINY), source)


def test_training_state_is_imported(tmp_path):
    weight = np.arange(6, dtype=np.float32)
    value = {
        "net": one_weight(archived("0", 6, (6,))),
        "optimizer_state": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "betas": (0.0, 0.999)}]},
    }
    path = write(tmp_path, archive_of(value, {"0": weight.tobytes()}), "training-state-000100.pt")
    record = import_file(path, tmp_path / "out")
    assert record["source"]["key"] == "net"
    assert load_file(tmp_path / "out" / "network.safetensors")["weight"].numpy().tobytes() == weight.tobytes()
    with pytest.raises(Fault, match="does not fit the network"):
        Edm().load(tmp_path / "out")


def test_torch_itself_writes_what_is_read(tmp_path):
    """Both of torch's own containers, around a record that torch knows nothing of."""
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for zipped in (True, False):
        torch.save(
            {"weight": weight.T, "half": weight.half()[1:]},
            tmp_path / "state.pt",
            _use_new_zipfile_serialization=zipped,
        )
        from sid.teachers.edm_pickle import read_file

        value, opened = read_file(tmp_path / "state.pt")
        with opened:
            assert torch.equal(value["weight"].load(), weight.T)
            assert torch.equal(value["half"].load(), weight.half()[1:])


def test_edm2_is_imported(tmp_path):
    gain = np.float16([0.5])
    unet = persistent("UNet", module_state({"out_gain": parameter(gain)}, {}, {}))
    state = module_state({}, {}, {"unet": unet}, _init_kwargs={"img_resolution": 64, "img_channels": 4})
    content = {"ema": persistent("Precond", state), "encoder": persistent("StabilityVAEEncoder", {"scale": 1.0})}
    easy = Raw(code(New(Global("dnnlib.util", "EasyDict"))) + code(content)[1:])
    record = import_file(write(tmp_path, pickled(easy)), tmp_path / "out")
    assert record["family"] == "edm2" and record["class"] == "Precond"
    assert load_file(tmp_path / "out" / "network.safetensors")["unet.out_gain"].numpy().tobytes() == gain.tobytes()


def test_which_network_is_meant(tmp_path):
    weight = parameter(np.ones(2, np.float32))
    path = write(tmp_path, pickled({"G": one_weight(weight), "fake_score": one_weight(weight)}))
    assert import_file(path, tmp_path / "a")["source"]["key"] == "G"
    assert import_file(path, tmp_path / "b", "fake_score")["source"]["key"] == "fake_score"
    with pytest.raises(Fault, match="did you mean 'fake_score'"):
        import_file(path, tmp_path / "c", "fake_scor")


def test_a_foreign_folder_is_not_replaced(tmp_path):
    path = write(tmp_path, pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))}))
    import_file(path, tmp_path / "out")
    import_file(path, tmp_path / "out")  # the same file again
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(Fault, match="was not imported from this file"):
        import_file(path, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


# ---------------------------------------------------------------------------------------------------
# Hostile files. Each would create the file OWNED under the usual loader, or fill the memory, or read elsewhere.

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
    "evil embedded source": (evil_source, r"source embedded for EDMPrecond uses os\.system"),
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
    path = write(tmp_path, build())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
    before = {name for name in os.listdir(tmp_path)}
    with pytest.raises(Fault, match=sentence) as refused:
        import_file(path, tmp_path / "out")
    assert len(refused.value.sentences) == 1 and "\n" not in str(refused.value)
    assert str(path) in str(refused.value) and "nothing in it was run" in str(refused.value)
    assert set(os.listdir(tmp_path)) == before


def test_every_truncation_is_refused(tmp_path):
    """Whatever is cut off: a fault, never a traceback and never a network."""
    whole = pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))})
    for length in range(1, len(whole)):
        with pytest.raises(Fault):
            import_file(write(tmp_path, whole[:length]), tmp_path / "out")


def test_every_flipped_byte_is_read_or_refused(tmp_path):
    whole = pickled({"ema": one_weight(parameter(np.ones(2, np.float32)))})
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        try:
            import_file(write(tmp_path, bytes(broken)), tmp_path / f"out{place}")
        except Fault as fault:
            assert fault.sentences


def test_files_that_are_no_files(tmp_path):
    for path, sentence in ((tmp_path / "absent.pkl", "is no file"), (tmp_path, "is no file")):
        with pytest.raises(Fault, match=sentence):
            import_file(path, tmp_path / "out")
    with pytest.raises(Fault, match="is empty"):
        import_file(write(tmp_path, b""), tmp_path / "out")

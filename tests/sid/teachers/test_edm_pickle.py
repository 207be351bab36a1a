"""Published files are read as data: bit for bit, and nothing in them runs."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sid.fault import Fault
from sid.teachers.edm import EdmTeacher
from sid.teachers.pickles.edm_pickle import import_file
from tests.sid.teachers.pickle_opcodes import (
    Global,
    New,
    Raw,
    code,
    module_state,
    module_tree,
    parameter,
    persistent,
    pickled,
)
from tests.sid.teachers.published_files import TINY, archive_of, archived, one_weight


def made_weights(settings: dict, dtype: str = "float32") -> dict[str, np.ndarray]:
    """Random arrays with the names and shapes of the network those settings describe."""
    random = np.random.default_rng(5)
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in EdmTeacher().build(settings).network.state_dict().items()}
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
    tensors = load_file(tmp_path / "out" / "network.safetensors")
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert tensors[name].numpy().tobytes() == array.tobytes(), name
        assert tensors[name].numpy().dtype == array.dtype and tensors[name].shape == array.shape
    assert record == json.loads((tmp_path / "out" / "teacher.json").read_text())
    assert record["class"] == "EDMPrecond" and record["source"]["key"] == "ema"
    assert record["settings"] == {**TINY, "wrapper": "EDMPrecond"}
    network = EdmTeacher().load(tmp_path / "out").network  # float16 files become float32
    for name, value in network.state_dict().items():
        assert torch.equal(value, torch.from_numpy(arrays[name]).float())


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
        EdmTeacher().load(tmp_path / "out")


def test_torch_itself_writes_what_is_read(tmp_path):
    """Both of torch's own containers, around a record that torch knows nothing of."""
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for zipped in (True, False):
        torch.save(
            {"weight": weight.T, "half": weight.half()[1:]},
            tmp_path / "state.pt",
            _use_new_zipfile_serialization=zipped,
        )
        from sid.teachers.pickles.edm_pickle import read_file

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


def test_files_that_are_no_files(tmp_path):
    for path, sentence in ((tmp_path / "absent.pkl", "is no file"), (tmp_path, "is no file")):
        with pytest.raises(Fault, match=sentence):
            import_file(path, tmp_path / "out")
    with pytest.raises(Fault, match="is empty"):
        import_file(write(tmp_path, b""), tmp_path / "out")

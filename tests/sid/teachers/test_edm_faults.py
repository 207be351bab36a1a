"""Wrong settings and folders that hold no EDM model: one sentence each."""

import json

import pytest
import torch

from sid.fault import Fault
from sid.teachers.edm import EdmTeacher
from tests.sid.teachers.published_files import TINY


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dropuot": 0.1}, "did you mean 'dropout'"),
        ({"model_type": "SongUnet"}, "did you mean 'SongUNet'"),
        ({"wrapper": "EDMPrecon"}, "did you mean 'EDMPrecond'"),
        ({"img_channels": None}, "needs the setting img_channels"),
        ({"encoder_type": "skip"}, r"encoder_type must be standard or residual \(got 'skip'\)"),
    ],
)
def test_wrong_settings_are_one_sentence(change, sentence):
    with pytest.raises(Fault, match=sentence) as fault:
        EdmTeacher().build({**TINY, **change})
    assert len(fault.value.sentences) == 1


def test_folders_that_hold_no_such_model(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(Fault, match=r"is no edm model: it has no teacher\.json"):
        EdmTeacher().load(tmp_path)
    (tmp_path / "teacher.json").write_text(json.dumps({"family": "edm", "settings": TINY}))
    with pytest.raises(Fault, match=r"it has no network\.safetensors"):
        EdmTeacher().load(tmp_path)
    state = EdmTeacher().build(TINY).network.state_dict()
    name = "model.map_layer0.bias"
    for change, sentence in (
        ({name: torch.zeros(3)}, r"has the shape \[3\] where \[32\] is expected"),
        ({name: None}, f"1 of {len(state)} tensors are missing, the first is {name}"),
        ({"model.more": torch.zeros(1)}, r"1 tensors are not expected, the first is model\.more"),
    ):
        changed = {key: value for key, value in {**state, **change}.items() if value is not None}
        save_file(changed, tmp_path / "network.safetensors")
        with pytest.raises(Fault, match=sentence):
            EdmTeacher().load(tmp_path)
    whole = (tmp_path / "network.safetensors").read_bytes()
    (tmp_path / "network.safetensors").write_bytes(whole[:1000])
    with pytest.raises(Fault, match="no whole safetensors file"):
        EdmTeacher().load(tmp_path)
    (tmp_path / "teacher.json").write_text(json.dumps({"family": "mlp", "settings": {}}))
    with pytest.raises(Fault, match="of the family 'mlp', not 'edm'"):
        EdmTeacher().load(tmp_path)

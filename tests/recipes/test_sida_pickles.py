"""SiDA's published files: every tensor bit for bit, and the networks answer as EDM's with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sid.condition import Condition
from sid.teachers.edm import EdmTeacher
from sid.teachers.edm2 import Edm2
from sid.teachers.pickles.edm_pickle import import_file
from tests.sid.teachers.pickle_opcodes import (
    Global,
    New,
    module_state,
    module_tree,
    parameter,
    persistent,
    pickled,
    tensor,
)
from tests.sid.teachers.published_files import TINY
from tests.sid.teachers.test_edm2 import TINY as TINY_EDM2
from tests.sid.teachers.test_edm_networks import TINY_ADM

SOURCE = "import torch\n\nclass Published_EncoderDecoder(torch.nn.Module): ...\n"


def random_weights(network: torch.nn.Module, dtype: str = "float32") -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    return {name: random.standard_normal(value.shape).astype(dtype) for name, value in network.state_dict().items()}


def edm2_tree(arrays: dict[str, np.ndarray], top: str, arguments: dict[str, Any]) -> Any:
    """Arrays by dotted name as EDM2's modules, whose `enc` and `dec` are torch's own dictionaries."""

    def branch(prefix: str, class_name: str, keywords: dict[str, Any]) -> Any:
        below = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        buffers = {name: tensor(below.pop(name)) for name in ("freqs", "phases") if name in below}
        own = {name: parameter(array) for name, array in below.items() if "." not in name}
        children = dict.fromkeys(name.split(".")[0] for name in below if "." in name)
        modules = {
            child: branch(f"{prefix}{child}.", "UNet_EncoderDecoder" if child == "unet" else "Block", {})
            for child in children
        }
        state = module_state(own, buffers, modules, _init_args=(), _init_kwargs=keywords)
        if prefix.endswith(("enc.", "dec.")):
            return New(Global("torch.nn.modules.container", "ModuleDict"), state)
        return persistent(class_name, state, SOURCE)

    return branch("", top, arguments)


def written(folder: Path, content: Any) -> Path:
    path = folder / "network-snapshot.pkl"
    path.write_bytes(pickled(content, 4))
    return path


def same_bits(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    tensors = load_file(folder / "network.safetensors")
    assert set(tensors) == set(arrays)
    for name, array in arrays.items():
        assert tensors[name].numpy().dtype == array.dtype and tensors[name].shape == array.shape
        assert tensors[name].numpy().tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("inner", "settings"), [("SongUNet", TINY), ("DhariwalUNet", {**TINY_ADM, "label_dim": 10})], ids=["DDPM++", "ADM"]
)
def test_a_generator_on_edm(tmp_path: Path, inner: str, settings: dict[str, Any]) -> None:
    plain = EdmTeacher().build({**settings, "model_type": inner})
    arrays = random_weights(plain.network)
    named = {**settings, "model_type": f"{inner}_EncoderDecoder", "use_fp16": False}
    network = module_tree(arrays, "EDMPrecond_EncoderDecoder", named, inner=f"{inner}_EncoderDecoder")
    record = import_file(written(tmp_path, {"ema": network}), tmp_path / "out")
    same_bits(tmp_path / "out", arrays)
    assert record["family"] == "edm" and record["class"] == "EDMPrecond_EncoderDecoder"
    assert record["settings"] == {**settings, "model_type": inner, "use_fp16": False, "wrapper": "EDMPrecond"}
    plain.network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    loaded = EdmTeacher().load(tmp_path / "out")
    x, sigma, condition = torch.randn(2, 3, 16, 16), torch.full((2,), 2.5), Condition(labels=torch.tensor([3, 1]))
    assert torch.equal(loaded(x, sigma, condition).image, plain.eval()(x, sigma, condition).image)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("top", "channels"), [("EDM_2_Precond_Generator", 0), ("EDM_2_Precond_EncoderDecoder", 128)])
def test_the_networks_on_edm2(tmp_path: Path, top: str, channels: int, dtype: str) -> None:
    """A generator lacks the head of the log variance; the critic has it."""
    built = Edm2().build({**TINY_EDM2, "logvar_channels": channels})
    arrays = random_weights(built.network, dtype)
    assert any(name.startswith("logvar") for name in arrays) is bool(channels)
    named = {**TINY_EDM2, "use_fp16": True, "force_normalization": False, "use_gan": True}
    record = import_file(written(tmp_path, {"ema": edm2_tree(arrays, top, named)}), tmp_path / "out")
    same_bits(tmp_path / "out", arrays)
    assert record["family"] == "edm2" and record["class"] == top and "use_gan" not in record["settings"]
    loaded = Edm2().load(tmp_path / "out").network.state_dict()
    assert list(loaded) == list(built.network.state_dict())
    assert all(np.array_equal(loaded[name].numpy(), array.astype(np.float32)) for name, array in arrays.items())


def test_the_averaged_generator_is_meant(tmp_path: Path) -> None:
    """A snapshot holds several networks: without a key the average is taken."""
    arrays = random_weights(EdmTeacher().build(TINY).network)
    other = {name: array + 1 for name, array in arrays.items()}
    named = {**TINY, "model_type": "SongUNet_EncoderDecoder"}
    content = {
        "fake_score": module_tree(other, "EDMPrecond_EncoderDecoder", named, inner="SongUNet_EncoderDecoder"),
        "ema": module_tree(arrays, "EDMPrecond_EncoderDecoder", named, inner="SongUNet_EncoderDecoder"),
    }
    path = written(tmp_path, content)
    assert import_file(path, tmp_path / "ema")["source"]["key"] == "ema"
    same_bits(tmp_path / "ema", arrays)
    import_file(path, tmp_path / "critic", "fake_score")
    same_bits(tmp_path / "critic", other)

"""A student of low-rank adapters: what is trained, kept, saved and exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sid import generator as generators
from sid.chain import Chain
from sid.condition import Unconditional
from sid.draws import Draws
from sid.fault import Fault
from sid.generator import Generator
from sid.loop.settings import Data, LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.lora import Adapted, adapt, adapter_parameters, merged_state
from sid.method import Adapters
from sid.methods.sid import Sid
from sid.teachers.mlp import Mlp

NETWORK = {"shape": [1, 4, 4], "classes": 0, "width": 16, "depth": 1}
SETTINGS = LoopSettings(images=96, batch=16, ema_halflife=20.0, student=Adapters(4, 8.0))


def made() -> tuple[object, Data]:
    torch.manual_seed(0)
    return Mlp().build(dict(NETWORK)).eval().requires_grad_(False), Data(Unconditional(), (1, 4, 4))


def trained(folder: Path, settings: LoopSettings = SETTINGS, start: Generator | None = None) -> Generator:
    teacher, data = made()
    options = Sid().options("toy", "digits")
    training = Training(Sid(), options, teacher, data, settings, start=start)  # type: ignore[arg-type]
    return train(training, Execution(folder, quiet=True)).generator


def test_the_base_stays_the_teachers_and_the_adapters_move(tmp_path: Path) -> None:
    student, teacher = trained(tmp_path), made()[0]
    base = {name.replace(".base.", "."): value for name, value in student.denoiser.network.state_dict().items()}
    for name, value in teacher.network.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(base[name], value), name
    assert any(layer.up.weight.abs().max() > 0 for layer in student.modules() if isinstance(layer, Adapted))


def test_its_state_holds_adapters_alone_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    full = trained(tmp_path / "full", LoopSettings(**{**SETTINGS.__dict__, "student": None}))
    sizes = [sum(file.stat().st_size for file in (tmp_path / name).rglob("*.distcp")) for name in ("whole", "full")]
    weights = 4 * sum(parameter.numel() for parameter in full.parameters())
    # Without the bases of the student and of its average, and without the moments of the base.
    assert sizes[1] - sizes[0] > 3 * weights
    again = trained(tmp_path / "whole")
    for mine, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_it_is_saved_as_a_plain_network_that_makes_the_same_image(tmp_path: Path) -> None:
    student = trained(tmp_path / "state")
    generators.save(student, tmp_path / "out")
    opened = generators.load(tmp_path / "out", Mlp().build(dict(NETWORK)))
    assert not adapter_parameters(opened)
    noise = [Draws(0, 0, range(5)).normal("z", (1, 4, 4), torch.empty(0))]
    with torch.no_grad():
        assert torch.allclose(opened(noise), student(noise), atol=1e-5)
        teacher = Generator(made()[0], Chain())  # type: ignore[arg-type]
        assert not torch.allclose(opened(noise), teacher(noise), atol=1e-3)


def test_folding_in_covers_convolutions() -> None:
    torch.manual_seed(1)
    plain = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.GELU(), nn.Flatten(), nn.Linear(24, 5))
    import copy

    network = copy.deepcopy(plain)
    adapt(network, 2, 3.0, on=True)  # type: ignore[arg-type]
    for parameter in adapter_parameters(network):
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 4, 4)
    plain.load_state_dict(merged_state(network))
    assert torch.allclose(plain(x), network(x), atol=1e-4)


def test_it_does_not_begin_from_another_generator(tmp_path: Path) -> None:
    start = Generator(made()[0], Chain())  # type: ignore[arg-type]
    with pytest.raises(Fault, match="begins from the teacher"):
        trained(tmp_path, start=start)


def test_a_network_without_a_layer_that_takes_them_is_told(tmp_path: Path) -> None:
    from sid.teachers.edm import EdmTeacher

    network = {"img_resolution": 8, "img_channels": 1, "model_channels": 8, "channel_mult": [1], "num_blocks": 1}
    teacher = EdmTeacher().build({**network, "model_type": "SongUNet", "attn_resolutions": []})
    teacher.eval().requires_grad_(False)
    options = Sid().options("toy", "digits")
    with pytest.raises(Fault, match="no layer of a network of the family edm takes them"):
        data = Data(Unconditional(), (1, 8, 8))
        train(Training(Sid(), options, teacher, data, SETTINGS), Execution(tmp_path, quiet=True))

"""Dropout and precision belong to the recipe, whatever the teacher's file says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.suite.checks import options_of
from benchmarks.suite.components import methods
from benchmarks.suite.load import load_suite
from sid.condition import Condition
from sid.fault import Fault
from sid.generator import Generator
from sid.nets import dropping, materialise
from sid.parallel.engine import Engine
from sid.parallel.execution import prepare
from sid.parallel.settings import EngineSettings
from sid.teachers.edm import EdmTeacher
from sid.teachers.edm2 import Edm2
from tests import toy
from tests.sid.teachers.test_edm2 import TINY as TINY_EDM2
from tests.sid.teachers.test_edm_networks import TINY

ADM = {**TINY, "model_type": "DhariwalUNet", "attn_resolutions": [8], "model_channels": 64}
# task, entry -> the share of the recipe
RECIPES = {
    ("afhqv2-64", "sid-1.0"): 0.05,
    ("afhqv2-64", "sida-1.0"): 0.05,
    ("ffhq64", "sid-1.2"): 0.05,
    ("imagenet64", "sid-1.2"): 0.1,
    ("imagenet64", "dmd2"): 0.0,
    ("imagenet64", "dmd2-longer"): 0.0,
    ("imagenet64", "dmd"): 0.0,
}


def zeros(denoiser: Any, share: float | None) -> float:
    """The share of zeros in what the blocks' last convolutions are given, in training."""
    torch.manual_seed(0)
    seen: list[torch.Tensor] = []
    network = dropping(denoiser, share).train()
    for module in network.modules():
        if hasattr(module, "conv1"):
            module.conv1.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].detach()))
    x = torch.randn(4, 3, 16, 16)
    network(x, torch.full((4,), 1.3), Condition(labels=torch.zeros(4, dtype=torch.long)))
    return torch.cat([part.flatten() for part in seen]).eq(0).float().mean().item()


@pytest.mark.parametrize("settings", [TINY, ADM], ids=["DDPM++", "ADM"])
def test_layers_drop_the_share_of_the_recipe(settings: dict[str, Any]) -> None:
    build = lambda: EdmTeacher().build({**settings, "dropout": 0.25})  # noqa: E731
    assert zeros(build(), None) == pytest.approx(0.25, abs=0.02)
    assert zeros(build(), 0.05) == pytest.approx(0.05, abs=0.01)
    assert zeros(build(), 0.0) == 0


def test_the_teacher_keeps_its_own() -> None:
    """Student, critic and average have the recipe's share; the network they are copies of is left as it is."""
    method = methods()["sid"]
    teacher = toy.teacher(dropout=0.25)
    nets = materialise(method.build(method.options("toy", "digits", {"dropout": 0.05})), teacher, 0)
    shares = {
        name: {part.p for part in net.modules() if isinstance(part, nn.Dropout)}
        for name, net in nets.items()  # the trainer adds the average the same way
    }
    assert shares == {"teacher": {0.25}, "critic": {0.05}, "generator": {0.05}}
    assert Edm2().build({**TINY_EDM2, "dropout": 0.1}).network.unet.enc["8x8_block0"].dropout == 0.1


def test_a_network_that_cannot_drop_out_is_a_fault() -> None:
    bare = SimpleNamespace(modules=lambda: iter([nn.Linear(1, 1)]), family="flow")
    with pytest.raises(Fault, match=r"dropout 0\.1 is asked for"):
        dropping(bare, 0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("task", "entry"), RECIPES)
def test_the_papers_rows_state_their_dropout(task: str, entry: str) -> None:
    options = options_of(load_suite("edm64"), task, entry)
    assert options.dropout == RECIPES[task, entry]
    built = methods()[load_suite("edm64").entries_of(task)[entry].method].build(options)
    assert built["critic"].dropout == built["generator"].dropout == RECIPES[task, entry]


@pytest.mark.parametrize("file_says", [False, True])
@pytest.mark.parametrize(("precision", "expected"), [("fp32", False), ("fp16", True), ("bf16", False)])
def test_the_engine_decides_about_float16(file_says: bool, precision: str, expected: bool) -> None:
    method = methods()["sid"]
    teacher = EdmTeacher().build({**TINY, "use_fp16": file_says})
    nets = materialise(method.build(method.options()), teacher, 0)
    nets["ema"] = Generator(EdmTeacher().build({**TINY, "use_fp16": file_says}))
    prepare(nets, Engine(settings=EngineSettings(precision=precision)), torch.float32)
    casts = {name: getattr(net, "denoiser", net).network.half_precision for name, net in nets.items()}
    assert casts == {"teacher": expected, "critic": expected, "generator": expected, "ema": False}
    for name, net in nets.items():
        assert getattr(net, "denoiser", net).settings.get("use_fp16", False) is casts[name]


def test_float16_is_refused_where_nothing_casts() -> None:
    method = methods()["sid"]
    nets = materialise(method.build(method.options("toy", "digits")), toy.teacher(), 0)
    with pytest.raises(Fault, match="fp16 is the EDM families' own cast"):
        prepare(nets, Engine(settings=EngineSettings(precision="fp16")), torch.float32)


def test_the_papers_precision_and_the_eps_that_goes_with_it() -> None:
    """SiD and SiDA run float16 at 64 pixels with Adam's eps at 1e-6, DMD2 bfloat16 on ImageNet."""
    suite = load_suite("edm64")
    for task in suite.tasks:
        for name, entry in suite.entries_of(task).items():
            if entry.method in ("sid", "sida"):
                assert suite.budget(task, name).executed.precision == "fp16", name
                assert options_of(suite, task, name).eps == 1e-6, name
            elif entry.method == "dmd2":
                assert suite.budget(task, name).executed.precision == "bf16", name
                assert options_of(suite, task, name).eps == 1e-8, name


def test_float16_is_costed_as_the_other_half_precision() -> None:
    """Matrix units take float16 and bfloat16 at one rate."""
    from benchmarks.estimate.devices import Device

    device = Device.__new__(Device)
    object.__setattr__(device, "rates", {"fp32": 1e12, "bf16": 4e12})
    assert device.hours(3.6e15, "fp16") == device.hours(3.6e15, "bf16") == 0.25

"""Moments in the CPU's memory: the same training bit for bit, its states, and where the numbers lie."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from benchmarks.suite.components import methods
from sid.fault import Fault
from sid.loop.adam import SMALLEST, Adam
from sid.loop.offload import HostBundle
from sid.method import Optimiser
from sid.parallel.engine import Engine
from sid.parallel.settings import EngineSettings, Footprint
from tests import toy
from tests.sid.two_engines import interrupted

SID = methods()["sid"]
AWAY = EngineSettings(offload=True)


def parameters() -> list[nn.Parameter]:
    """Two that lie in a bundle, the first in the order of convolutions, and a small one."""
    random = torch.Generator().manual_seed(0)
    kernel = torch.randn(32, 16, 3, 3, generator=random).contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(part) for part in (kernel, torch.randn(80, 80, generator=random), torch.ones(5))]


@pytest.mark.parametrize(
    ("beta", "first_moment"), [(0.0, True), (0.0, False), (0.9, True)], ids=["two", "second", "momentum"]
)
def test_steps_are_the_same_bits(beta: float, first_moment: bool) -> None:
    """One has no gradient in the third step."""
    settings = Optimiser(1e-2, betas=(beta, 0.999))
    ours, theirs = parameters(), parameters()
    away = Adam(ours, settings, EngineSettings(offload=True, first_moment=first_moment))
    plain = Adam(theirs, settings, EngineSettings(first_moment=first_moment))
    for step in range(5):
        random = torch.Generator().manual_seed(step)
        for here, there in zip(ours, theirs, strict=True):
            gradient = torch.empty_like(here).copy_(torch.randn(here.shape, generator=random))
            here.grad, there.grad = gradient, gradient.clone()
        if step == 2:
            ours[1].grad = theirs[1].grad = None
        away.step()
        plain.step()
    assert away.bundled == set(ours[:2]) and not plain.bundled
    for here, there in zip(ours, theirs, strict=True):
        assert torch.equal(here, there)
        assert away.state(here).keys() == plain.state(there).keys()
        assert all(torch.equal(part, plain.state(there)[name]) for name, part in away.state(here).items())


def test_no_moment_lies_on_the_device() -> None:
    """A meta device stands for a GPU: what is read back from it would have no numbers."""
    parameter = nn.Parameter(torch.empty(SMALLEST, device="meta"))
    away, plain = Adam([parameter], Optimiser(1e-3), AWAY), Adam([parameter], Optimiser(1e-3))
    bundle = HostBundle([parameter], away.moments)
    assert {part.device.type for part in bundle.moments.values()} == {"cpu"}
    assert bundle.decoded("exp_avg_sq")[0].device.type == "meta"
    for optimiser, device in ((away, "cpu"), (plain, "meta")):
        empty = optimiser.empty(parameter, ("exp_avg_sq", "step"))
        assert [part.device.type for part in empty.values()] == [device, "meta"]


@pytest.fixture
def small_too() -> object:
    with mock.patch("sid.loop.adam.SMALLEST", 32):
        yield


@pytest.mark.usefixtures("small_too")
def test_trainings_and_states_are_the_same_bits(tmp_path: Path) -> None:
    """In one part, in two, and in two of which the moments change their place between."""
    options = SID.options("toy", "digits")
    plain = toy.weights(toy.distil(SID, options, tmp_path / "plain"))
    assert torch.equal(toy.weights(toy.distil(SID, options, tmp_path / "away", engine=AWAY)), plain)
    for first, then in ((AWAY, AWAY), (AWAY, EngineSettings()), (EngineSettings(), AWAY)):
        place = tmp_path / f"{first.offload}-{then.offload}"
        interrupted(SID, place, engine=first)
        assert torch.equal(toy.weights(toy.distil(SID, options, place, save_seconds=0.0, engine=then)), plain)


def test_what_it_saves_and_what_it_excludes() -> None:
    """SiD: a frozen teacher, two players, an average; 36 bytes a parameter, of which 16 are moments."""
    sizes = Footprint(frozen=100, trained=(100, 100), momentless=(100, 100), averaged=100)
    assert sizes.bytes_each(EngineSettings(), 1) == 3600
    assert sizes.bytes_each(AWAY, 1) == 2000
    with pytest.raises(Fault, match="two ways to store the same moments"):
        Engine.here(EngineSettings(offload=True, eight_bit=True))

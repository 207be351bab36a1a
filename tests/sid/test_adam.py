"""Adam is torch's fused one bit for bit, and without a first moment still Adam."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from sid.loop.adam import Adam
from sid.method import Optimiser
from sid.parallel.settings import EngineSettings


def stepped(optimiser: Any, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Five steps on drawn gradients; in the third one parameter has none."""
    for step in range(5):
        random = torch.Generator().manual_seed(step)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=random)
        if step == 2:
            parameters[1].grad = None
        optimiser.step()
    return parameters


def some() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(5, 3)), nn.Parameter(torch.full((7,), 0.5))]


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_adam_is_torchs_fused_one(decay: float, beta: float) -> None:
    settings = Optimiser(1e-3, betas=(beta, 0.99), weight_decay=decay)
    ours, theirs = some(), some()
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    reference = kind(theirs, lr=1e-3, betas=(beta, 0.99), eps=settings.eps, weight_decay=decay, fused=True)
    optimiser = Adam(ours, settings)
    for mine, other in zip(stepped(optimiser, ours), stepped(reference, theirs), strict=True):
        assert torch.equal(mine, other)
        stored = optimiser.state(mine)
        assert stored.keys() == reference.state[other].keys()
        assert all(torch.equal(value, reference.state[other][name]) for name, value in stored.items())


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_adam_without_a_first_moment_is_adam(decay: float) -> None:
    settings = Optimiser(1e-3, weight_decay=decay)
    ours, theirs = some(), some()
    without, other = Adam(ours, settings, EngineSettings(first_moment=False)), Adam(theirs, settings)
    for mine, its in zip(stepped(without, ours), stepped(other, theirs), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-7)
    assert all("exp_avg" not in without.state(parameter) for parameter in ours)
    momentum = Adam(ours, replace(settings, betas=(0.9, 0.999)), EngineSettings(first_moment=False))
    assert momentum.moments == ("exp_avg", "exp_avg_sq")

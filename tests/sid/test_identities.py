"""Identities that hold for whole methods on a network."""

import copy

import pytest
import torch

from benchmarks.components import methods
from sid import rounds
from sid.draws import Draws
from sid.ema import decay, update
from sid.method import Batch, Player, Progress
from sid.nets import materialise
from tests import toy

SCORE_METHODS = {
    "sid-0.5": ("sid", {"alpha": 0.5}),
    "sid-1.0": ("sid", {"alpha": 1.0}),
    "sid-1.2": ("sid", {"alpha": 1.2}),
    "sim-squared": ("sim", {"distance": "squared"}),
    "sim-huber": ("sim", {"c": 0.03}),
    "diff-instruct": ("diff-instruct", {}),
    "dmd": ("dmd", {}),
}


def generator_gradient(method, options, nets, dtype) -> torch.Tensor:
    player: Player = next(player for player in method.players(options) if player.name == "generator")
    draws = Draws(0, 0, range(16), "generator")
    like = torch.empty(0, dtype=dtype)
    condition = toy.data().conditions.draw(draws)
    batch = Batch(draws, condition, Progress(), toy.SHAPE, like, size=16)
    seat = rounds.seats((player,), nets)[0]
    rounds.set_modes(nets, seat)
    for parameter in seat.parameters:
        parameter.grad = None
    rounds.total_loss(player.loss(nets, batch), 16).backward()
    return torch.cat([parameter.grad.flatten() for parameter in seat.parameters if parameter.grad is not None])


@pytest.mark.parametrize("dtype,bound", [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("name,given", SCORE_METHODS.values(), ids=SCORE_METHODS.keys())
def test_the_gradient_vanishes_when_the_critic_is_the_teacher(name, given, dtype, bound):
    """A non-zero value reveals a different noise, time, label, guidance or dropout mask."""
    method = methods()[name]
    options = method.options("toy", "digits", given)
    nets = materialise(method.build(options), toy.teacher(dtype=dtype), seed=0)
    copied = generator_gradient(method, options, nets, dtype).norm()
    perturbed = dict(nets, critic=copy.deepcopy(nets["critic"]))
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in perturbed["critic"].parameters():
            parameter += (
                0.01
                * parameter.norm()
                / parameter.numel() ** 0.5
                * torch.randn(parameter.shape, generator=random, dtype=dtype)
            )
    assert copied <= bound * generator_gradient(method, options, perturbed, dtype).norm()


def test_ema_halflife_and_first_copy():
    assert decay(256, 0, 500_000, 0.05) == 0  # the first step copies
    beta = decay(100, 10**9, 1000, 0.05)
    assert beta ** (1000 / 100) == pytest.approx(0.5)
    assert decay(100, 2000, 1000, 0.05) == pytest.approx(0.5 ** (100 / 100))  # ramp: 5 % of 2000 images
    source, average = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    before = average.weight.detach().clone()
    update(average, source, 0.25)
    assert torch.allclose(average.weight, 0.25 * before + 0.75 * source.weight)
    update(average, source, 0.0)
    assert torch.equal(average.weight, source.weight)


def test_adam_without_beta1_is_its_no_first_moment_form():
    """theta -= lr g / (sqrt(v / (1 - beta2^n)) + eps): the first moment is the gradient itself."""
    torch.manual_seed(0)
    parameter = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    plain, second = parameter.detach().clone(), torch.zeros(5, dtype=torch.float64)
    optimiser = torch.optim.Adam([parameter], lr=0.01, betas=(0.0, 0.999), eps=1e-8)
    for step in range(1, 8):
        gradient = torch.randn(5, dtype=torch.float64)
        parameter.grad = gradient.clone()
        optimiser.step()
        second = 0.999 * second + 0.001 * gradient**2
        plain -= 0.01 * gradient / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        assert torch.allclose(parameter, plain, rtol=1e-12)

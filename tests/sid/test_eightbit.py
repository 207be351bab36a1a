"""Moments in a byte a number: what is read back, that averages move without bias, and what it costs in fidelity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.suite.components import methods
from sid.loop.adam import SMALLEST, Adam
from sid.loop.eightbit import BLOCK, BUNDLE, OCTAVE, EightBit, bundles
from sid.method import Optimiser
from sid.parallel.settings import EngineSettings
from tests import toy

CODED = EngineSettings(eight_bit=True)


def some(signed: bool, seed: int = 0) -> Tensor:
    numbers = torch.randn(7, 301, generator=torch.Generator().manual_seed(seed)) * 1e-4
    return numbers if signed else numbers.square()


@pytest.mark.parametrize("signed", [False, True])
def test_what_is_read_is_within_half_a_step(signed: bool) -> None:
    numbers = some(signed)
    moment = EightBit(numbers, signed)
    assert not moment.read().any()
    moment.write(numbers)
    decoded = moment.read()
    share = numbers.abs() / numbers.abs().max()
    large = share > 2.0**-10  # both forms reach that far down
    assert ((decoded - numbers).abs() <= (2 ** (1 / OCTAVE) - 1) / 2 * numbers.abs() * 1.001)[large].all()
    assert (decoded.sign() == numbers.sign())[large].all()
    assert moment.codes.nbytes + moment.scales.nbytes == -(-numbers.numel() // BLOCK) * (BLOCK + 4)


@pytest.mark.parametrize("signed", [False, True])
def test_what_was_read_is_written_back_bit_for_bit(signed: bool) -> None:
    numbers = some(signed)
    numbers[0] = 0.0  # a whole block of zeros, and some more
    moment, again = EightBit(numbers, signed), EightBit(numbers, signed)
    moment.write(numbers, torch.Generator().manual_seed(1))
    again.write(moment.read())
    assert torch.equal(again.codes, moment.codes)
    assert torch.equal(again.read(), moment.read())


@pytest.mark.parametrize("signed", [False, True])
def test_rounding_has_no_bias(signed: bool) -> None:
    numbers, random = some(signed)[:1, :200], torch.Generator().manual_seed(0)
    moment, mean, times = EightBit(numbers, signed), torch.zeros_like(numbers), 4000
    for _ in range(times):
        moment.write(numbers, random)
        mean += moment.read() / times
    step = (2 ** (1 / OCTAVE) - 1) * numbers.abs() + numbers.abs().max() * 2.0**-10
    assert ((mean - numbers).abs() < 5 * 0.5 * step / times**0.5).all()


def test_a_second_moment_is_never_nothing() -> None:
    numbers = torch.tensor([1.0, 1e-12, 0.0, 2.0**-21.3])
    moment = EightBit(numbers, signed=False)
    for seed in range(20):
        moment.write(numbers, torch.Generator().manual_seed(seed))
        decoded = moment.read()
        assert decoded[0] == 1.0
        assert decoded[2] == 0.0
        assert (decoded[[1, 3]] > 2.0**-22).all()


def test_an_average_that_moves_by_thousandths_is_followed() -> None:
    """Half of every block's gradients fall to a tenth. To the nearest, their second moments would stand."""
    parameter = nn.Parameter(torch.zeros(64, 64))
    exact = nn.Parameter(torch.zeros(64, 64))
    settings, random = Optimiser(1e-4, betas=(0.0, 0.999)), torch.Generator().manual_seed(0)
    coded, plain = Adam([parameter], settings, CODED), Adam([exact], settings)
    frozen = EightBit(parameter.detach(), signed=False)
    for step in range(4000):
        gradient = torch.randn(64, 64, generator=random)
        gradient[:, 32:] *= 1.0 if step < 1000 else 0.1
        parameter.grad, exact.grad = gradient, gradient.clone()
        coded.step()
        plain.step()
        frozen.write(0.999 * frozen.read() + 0.001 * gradient.square())
    decoded, right = coded.state(parameter)["exp_avg_sq"], plain.state(exact)["exp_avg_sq"]
    for half in (slice(32), slice(32, 64)):
        assert (decoded[:, half].mean() / right[:, half].mean() - 1).abs() < 0.03
    assert (decoded / right).sqrt().sub(1).square().mean().sqrt() < 0.17  # the size of single steps
    assert frozen.read()[:, 32:].mean() > 3 * right[:, 32:].mean()  # the rounding that is not done here


def test_small_parameters_keep_theirs_in_full() -> None:
    small, large = nn.Parameter(torch.ones(SMALLEST - 1)), nn.Parameter(torch.ones(SMALLEST))
    settings = Optimiser(1e-3)
    other = nn.Parameter(small.detach().clone())
    coded, plain = Adam([small, large], settings, CODED), Adam([other], settings)
    for seed in range(3):
        gradient = torch.randn(SMALLEST, generator=torch.Generator().manual_seed(seed))
        small.grad, large.grad, other.grad = gradient[1:], gradient, gradient[1:].clone()
        coded.step()
        plain.step()
    assert coded.bundled == {large}
    assert torch.equal(small, other)
    assert torch.equal(coded.state(small)["exp_avg_sq"], plain.state(other)["exp_avg_sq"])


def test_numbers_lie_as_the_parameters_do() -> None:
    """A kernel in channels-last order: the fused step pairs weights, gradients and moments as they lie in memory."""
    plain = nn.Parameter(torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(0)))
    turned = nn.Parameter(plain.detach().clone().contiguous(memory_format=torch.channels_last))
    settings = Optimiser(1e-2, betas=(0.9, 0.999))
    ours, other = Adam([plain], settings, CODED), Adam([turned], settings, CODED)
    for seed in range(3):
        gradient = torch.randn(plain.shape, generator=torch.Generator().manual_seed(seed))
        plain.grad, turned.grad = gradient, gradient.contiguous(memory_format=torch.channels_last)
        ours.step()
        other.step()
    assert ours.bundled and turned.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(turned, plain)
    for name, value in ours.state(plain).items():
        torch.testing.assert_close(other.state(turned)[name], value)


def test_bundles_hold_every_parameter_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.loop.eightbit.BUNDLE", 100)
    parameters = [nn.Parameter(torch.empty(size)) for size in (40, 60, 1, 250, 99, 2)]
    groups = bundles(parameters)
    assert [[part.numel() for part in group] for group in groups] == [[40, 60], [1], [250], [99], [2]]
    assert BUNDLE % BLOCK == 0


def test_a_bundle_is_its_parameters_one_by_one() -> None:
    """To the nearest: the codes of parameters that are coded together are those of each alone."""
    shapes = ((70, 70), (64, 64), (5000,))
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    together = Adam(parameters, Optimiser(1e-3, betas=(0.9, 0.999)), CODED)
    for number, parameter in enumerate(parameters):
        numbers = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        state = {"step": torch.tensor(1.0), "exp_avg": numbers, "exp_avg_sq": numbers.square()}
        together.restore(parameter, state)
        for name, signed in (("exp_avg", True), ("exp_avg_sq", False)):
            alone = EightBit(numbers, signed)
            alone.write(state[name])
            assert torch.equal(together.state(parameter)[name], alone.read())


def test_a_parameter_without_a_gradient_stands_still_within_its_bundle() -> None:
    first, second = nn.Parameter(torch.ones(80, 80)), nn.Parameter(torch.ones(70, 70))
    adam = Adam([first, second], Optimiser(1e-2, betas=(0.9, 0.999)), CODED)
    random = torch.Generator().manual_seed(0)
    first.grad, second.grad = torch.randn(80, 80, generator=random), torch.randn(70, 70, generator=random)
    adam.step()
    weights, before = second.detach().clone(), {name: part.clone() for name, part in adam.state(second).items()}
    moved = first.detach().clone()
    second.grad = None
    for _ in range(3):
        adam.step()
    assert torch.equal(second, weights) and not torch.equal(first, moved)
    assert all(torch.equal(adam.state(second)[name], part) for name, part in before.items())
    assert adam.state(first)["step"] == 4 and adam.state(second)["step"] == 1


def test_a_step_without_gradients_moves_nothing() -> None:
    parameter = nn.Parameter(torch.ones(SMALLEST))
    optimiser = Adam([parameter], Optimiser(1e-3), CODED)
    optimiser.step()
    assert torch.equal(parameter, torch.ones(SMALLEST)) and not optimiser.state(parameter)


def test_a_state_is_gone_on_from(tmp_path: Path) -> None:
    """Both moments, with momentum: the numbers, and every later step."""
    settings = Optimiser(1e-2, betas=(0.9, 0.999))
    first = [nn.Parameter(torch.ones(80, 80)), nn.Parameter(torch.ones(5))]
    ours = Adam(first, settings, CODED)

    def step(optimiser: Adam, seed: int) -> None:
        for parameter in optimiser.parameters:
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
        optimiser.step()

    for seed in range(3):
        step(ours, seed)
    second = [nn.Parameter(parameter.detach().clone()) for parameter in first]
    other = Adam(second, settings, CODED)
    other.steps = ours.steps
    for mine, its in zip(first, second, strict=True):
        other.restore(its, {name: value.clone() for name, value in ours.state(mine).items()})
    for seed in range(3, 6):
        step(ours, seed)
        step(other, seed)
    assert all(torch.equal(mine, its) for mine, its in zip(first, second, strict=True))


def test_a_distillation_ends_near_the_exact_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sid.loop.adam.SMALLEST", 64)  # the toy's networks are small
    sid = methods()["sid"]
    options = sid.options("toy", "digits")

    def trained(name: str, images: int, engine: EngineSettings) -> Tensor:
        return toy.weights(toy.distil(sid, options, tmp_path / name, engine=engine, images=images))

    start, exact = (trained(str(images), images, EngineSettings()) for images in (8, 1024))
    coded = trained("coded", 1024, EngineSettings(eight_bit=True))
    assert 0 < (coded - exact).norm() < 0.1 * (exact - start).norm()

"""SwiftBrush's update by update, against the same loop written plainly; on a VP process that predicts eps."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.vsd import SMALL
from benchmarks.suite.checks import options_of
from benchmarks.suite.components import methods
from benchmarks.suite.load import load_suite
from sid.condition import Condition
from sid.denoiser import Denoiser
from sid.draws import Draws
from sid.fault import Fault
from sid.loop import update
from sid.loop.settings import LoopSettings
from sid.loop.trainer import Execution, Training, train
from sid.lora import Adapted
from sid.method import Batch, Progress
from sid.nets import materialise
from sid.noise import VpDiscrete
from tests import toy

VSD = methods()["vsd"]
BATCH, ITERATIONS, PIXELS = 8, 12, math.prod(toy.SHAPE)
ABAR = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)


class Attention(nn.Module):
    """A network whose layers are called as a transformer's, in the shape of the denoiser's call."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k = nn.Linear(PIXELS, 24), nn.Linear(24, 24)
        self.to_v, self.embed = nn.Linear(24, PIXELS), nn.Embedding(toy.CLASSES + 1, 24)

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: Any) -> tuple[Tensor, None]:
        assert condition.labels is not None
        h = self.to_q(x.flatten(1)) + self.embed(condition.labels + 1) + (time / 1000)[:, None]
        return self.to_v(torch.tanh(self.to_k(torch.tanh(h)))).view_as(x), None


def teacher() -> Denoiser:
    torch.manual_seed(5)
    network = Attention().double()
    return Denoiser(network, VpDiscrete(), "eps", "attention").eval().requires_grad_(False)


def predicted(weights: dict[str, Tensor], x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
    """The network's eps as a formula of its weights; adapters have been added to them."""
    h = x.flatten(1) @ weights["to_q.weight"].T + weights["to_q.bias"]
    h = h + weights["embed.weight"][labels + 1] + (time / 1000)[:, None]
    h = torch.tanh(h) @ weights["to_k.weight"].T + weights["to_k.bias"]
    return (torch.tanh(h) @ weights["to_v.weight"].T + weights["to_v.bias"]).view_as(x)


class PlainAdam:
    """Adam (0.9, 0.999) without weight decay, after the gradient's norm is bounded by 1."""

    def __init__(self, weights: list[Tensor], rate: float):
        self.weights, self.rate, self.steps = weights, rate, 0
        self.first = [torch.zeros_like(weight) for weight in weights]
        self.second = [torch.zeros_like(weight) for weight in weights]

    def step(self, gradients: list[Tensor]) -> None:
        self.steps += 1
        norm = torch.sqrt(sum((gradient**2).sum() for gradient in gradients))  # type: ignore[arg-type]
        factor = min(1.0, 1.0 / (norm.item() + 1e-6))
        for weight, gradient, first, second in zip(self.weights, gradients, self.first, self.second, strict=True):
            first.mul_(0.9).add_(0.1 * factor * gradient)
            second.mul_(0.999).add_(0.001 * (factor * gradient) ** 2)
            corrected = (second / (1 - 0.999**self.steps)).sqrt() + 1e-8
            weight.data -= self.rate * (first / (1 - 0.9**self.steps)) / corrected


def test_twelve_iterations_are_swiftbrushs(tmp_path: Path) -> None:
    """Student first, the adapters on the same images; weights sigma_t^2 and alpha_t^2; a batch's prompts dropped at
    once; both predictions guided by 4.5; means over elements, so that the bound on the norm is the source's."""
    options = VSD.options("sd21-coco", "stable-diffusion", {"rank": 4, "lr_generator": 1e-3, "drop_batch": 0.4})
    frozen = dict(copy.deepcopy(teacher().network).state_dict())
    made = materialise(VSD.build(options), teacher(), seed=0)
    parts = {
        name: part for name, part in made["critic"].named_modules() if isinstance(part, Adapted)
    }  # the adapters' first values are the seed's
    assert sorted(name.rpartition(".")[2] for name in parts) == ["to_q", "to_v"]
    adapters = {
        f"{name.rpartition('.')[2]}.{side}": getattr(part, side).weight.detach().clone().double().requires_grad_(True)
        for name, part in parts.items()
        for side in ("down", "up")
    }
    student = {name: value.clone().requires_grad_(True) for name, value in frozen.items()}
    moved = [PlainAdam(list(student.values()), 1e-3), PlainAdam(list(adapters.values()), 1e-3)]
    dropped = []

    def adapted() -> dict[str, Tensor]:
        changed = dict(frozen)
        for layer in ("to_q", "to_v"):
            changed[f"{layer}.weight"] = frozen[f"{layer}.weight"] + 108 / 4 * (
                adapters[f"{layer}.up"] @ adapters[f"{layer}.down"]
            )
        return changed

    def guided(weights: dict[str, Tensor], x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        without = predicted(weights, x_t, t, torch.full_like(labels, -1))
        return without + 4.5 * (predicted(weights, x_t, t, labels) - without)

    for iteration in range(ITERATIONS):
        draws = Draws(0, iteration, range(BATCH), "generator")
        like = torch.empty(0, dtype=torch.float64)
        labels = toy.data().conditions.draw(draws).labels
        assert labels is not None
        z = draws.normal("z0", toy.SHAPE, like)
        last = torch.full((BATCH,), 999)
        x = (z - (1 - ABAR[999]).sqrt() * predicted(student, z, last, labels)) / ABAR[999].sqrt()

        t = (20 + (draws.uniform("t") * 961).floor()).long()
        abar = ABAR[t][:, None, None, None]
        x_t = abar.sqrt() * x.detach() + (1 - abar).sqrt() * draws.normal("eps", toy.SHAPE, like)
        with torch.no_grad():
            step = (1 - abar) * (guided(frozen, x_t, t, labels) - guided(adapted(), x_t, t, labels))
        if iteration == 0:
            assert step.abs().max() == 0
        loss = ((x - (x - step).detach()) ** 2).mean() / 2
        moved[0].step(list(torch.autograd.grad(loss, list(student.values()))))

        own, image = Draws(0, iteration, range(BATCH), "critic"), x.detach()
        t = (own.uniform("t") * 1000).floor().long()
        abar = ABAR[t][:, None, None, None]
        eps = own.normal("eps", toy.SHAPE, like)
        x_t = abar.sqrt() * image + (1 - abar).sqrt() * eps
        dropped.append(own.integer("drop", 0, 999_999) < 400_000)
        seen = torch.full_like(labels, -1) if dropped[-1] else labels
        loss = ((abar.sqrt() * (predicted(adapted(), x_t, t, seen) - eps)) ** 2).mean()
        moved[1].step(list(torch.autograd.grad(loss, list(adapters.values()))))

    assert 0 < sum(dropped) < ITERATIONS
    recipe = LoopSettings(
        images=ITERATIONS * BATCH, batch=BATCH, ema_halflife=1e-9, save_seconds=1e9, dtype="float64", micro_batch=4
    )
    result = train(Training(VSD, options, teacher(), toy.data(), recipe), Execution(tmp_path, quiet=True))
    for name, value in result.generator.denoiser.network.state_dict().items():
        assert (value - frozen[name]).abs().max() > 1e-4, name
        torch.testing.assert_close(value, student[name].detach(), atol=1e-9, rtol=0)


def first_gradient(options: Any) -> float:
    nets = materialise(VSD.build(options), teacher(), 0)
    for net in nets.values():
        net.double()
    player = VSD.players(options)[0 if options.shared else 1]
    assert player.name == "generator"
    draws, like = Draws(0, 0, range(BATCH), "generator"), torch.empty(0, dtype=torch.float64)
    batch = Batch(draws, toy.data().conditions.draw(draws), Progress(), toy.SHAPE, like, size=BATCH)
    (seat,) = update.player_states((player,), nets)
    update.set_modes(nets, seat)
    update.total_loss(player.loss(nets, batch), BATCH).backward()
    return max(parameter.grad.abs().max().item() for parameter in seat.parameters if parameter.grad is not None)


def test_the_first_gradient_is_zero_with_a_guided_critic_alone() -> None:
    """The adapters begin at nothing: guided alike, critic and teacher cancel to exactly 0."""
    assert first_gradient(VSD.options("sd21-coco")) == 0
    assert first_gradient(VSD.options("sd21-coco", "", {"critic_kappa": 1.0})) > 1e-6


def test_the_critic_of_its_own_images_sees_every_step() -> None:
    """Without sharing, too: the squared eps error at a step drawn from all 1000, no end of the schedule left out."""
    options = VSD.options("shapes")
    nets = materialise(VSD.build(options), teacher(), 0)
    for net in nets.values():
        net.double()
    draws, like = Draws(0, 0, range(512), "critic"), torch.empty(0, dtype=torch.float64)
    condition = toy.data().conditions.draw(draws)
    batch = Batch(draws, condition, Progress(), toy.SHAPE, like, size=512)
    term = VSD.players(options)[0].loss(nets, batch).terms["critic"]
    weights, labels = dict(teacher().network.state_dict()), condition.labels
    assert labels is not None
    t, first = (1000 * draws.uniform("t")).floor().long(), torch.full((512,), 625)
    assert t.min() < 20 and t.max() > 979
    z, eps = (draws.normal(name, toy.SHAPE, like) for name in ("z0", "eps"))
    noisy = (1 - ABAR[625]).sqrt() * z
    x = (noisy - (1 - ABAR[625]).sqrt() * predicted(weights, noisy, first, labels)) / ABAR[625].sqrt()
    abar = ABAR[t][:, None, None, None]
    x_t = abar.sqrt() * x + (1 - abar).sqrt() * eps
    expected = ((predicted(weights, x_t, t, labels) - eps) ** 2).flatten(1).sum(1)
    torch.testing.assert_close(term, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("task", ["digits", "shapes"])
def test_the_miniatures_are_what_they_were(task: str) -> None:
    """None of the newer options stands in their digests."""
    from sid.method import deciding

    assert deciding(VSD.options("", task)).keys() == {
        *("kappa", "weight", "t_init", "unit_input", "rank", "lora_alpha", "lr", "lr_generator", "eps")
    }
    assert VSD.options("", task, {"kappa": 3.0}).weight == SMALL["weight"] == "one"


def test_swiftbrushs_row() -> None:
    """16 images, 65,000 updates, and diffusers' average: 0.9999 at most, (1 + n) / (10 + n) before."""
    suite = load_suite("sd15")
    budget, options = suite.budget("sd21-coco", "vsd"), options_of(suite, "sd21-coco", "vsd")
    assert (budget.batch, budget.images) == (16, 16 * 65_000)
    assert options == VSD.options("", "")
    assert 0.5 ** (budget.batch / budget.ema_halflife) == pytest.approx(0.9999, abs=1e-6)
    for step in (100, 1_000, 10_000):  # the ramp of the half-life is that of the decay
        decay = 0.5 ** (budget.batch / (budget.ema_ramp * budget.batch * step))
        assert 1 - decay == pytest.approx(1 - (1 + step) / (10 + step), rel=0.1)
    variant = suite.entries_of("sd15-coco")["vsd"]
    assert "variant" in variant.label and options_of(suite, "sd15-coco", "vsd") == options


def test_layers_that_are_nowhere_are_a_fault() -> None:
    options = VSD.options("sd21-coco", "", {"layers": ("to_x",)})
    with pytest.raises(Fault, match="no layer called to_x"):
        materialise(VSD.build(options), teacher(), 0)

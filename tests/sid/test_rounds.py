"""One update in its parts: the reduction of terms, the NaN mask, rates and clipping."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sid.loop import update as updates
from sid.loop.update import total_loss
from sid.method import Batch, Optimiser, Player, Progress, Terms
from sid.parallel.engine import Engine


def test_a_nan_drops_out_and_the_denominator_stays() -> None:
    parameter = torch.tensor(2.0, requires_grad=True)
    terms = Terms(
        {"a": parameter + torch.tensor([1.0, float("nan"), 3.0]), "b": parameter * torch.ones(3)}, {"a": 10.0}
    )
    total = total_loss(terms, 6)
    total.backward()
    assert total.item() == pytest.approx((10 * (3 + 5) + 2 * 3) / 6)
    assert parameter.grad is not None and parameter.grad.item() == pytest.approx((10 * 2 + 3) / 6)


def update(optimiser: Optimiser, gradient: list[float], fraction: float = 0.0, steps: int = 0) -> tuple[Tensor, float]:
    """(the gradient the optimiser took, its rate) for a parameter whose loss has that gradient."""
    net = torch.nn.ParameterDict({"p": torch.nn.Parameter(torch.zeros(len(gradient)))})

    def loss(nets: object, batch: Batch) -> Terms:
        return Terms({"x": net["p"].sum()[None]})

    net["p"].register_hook(lambda _: torch.tensor(gradient))
    state = updates.player_states((Player("p", ("net",), loss, optimiser),), {"net": net})[0]
    state.optimiser.steps = steps
    batch = type("One", (), {"size": 1})()
    updates.play(state, {"net": net}, [batch], Engine(), Progress(0, round(1000 * fraction), 1000), seed=0)
    assert net["p"].grad is not None
    return net["p"].grad, state.optimiser.rate


def test_gradients_are_cleaned_then_clipped() -> None:
    inf, nan = float("inf"), float("nan")
    assert update(Optimiser(1.0), [inf, -inf, nan, 2.0])[0].tolist() == [1e5, -1e5, 0.0, 2.0]
    assert update(Optimiser(1.0, clip_value=1.0), [inf, -0.5, nan])[0].tolist() == [1.0, -0.5, 0.0]
    assert torch.allclose(update(Optimiser(1.0, clip_norm=1.0), [3.0, 4.0])[0], torch.tensor([0.6, 0.8]))


def test_rates_warm_up_by_steps_and_decay_by_images() -> None:
    warm = Optimiser(0.5, warmup=4)
    assert [update(warm, [1.0], steps=steps)[1] for steps in (0, 1, 3, 9)] == [0.125, 0.25, 0.5, 0.5]
    falling = Optimiser(0.5, decay_from=0.5)
    assert [update(falling, [1.0], fraction)[1] for fraction in (0.2, 0.5, 0.75, 0.9)] == pytest.approx(
        [0.5, 0.5, 0.25, 0.1]
    )

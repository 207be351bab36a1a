"""Processes and conversions (reference values of the published models)."""

import math

import pytest
import torch

from sid.laws import KarrasUniform, LogitNormal, LogNormal, UniformStep
from sid.noise import Edm, Flow, VpDiscrete

PROCESSES = [(Edm(), 1.7), (VpDiscrete(), 625), (VpDiscrete(), 20), (Flow(), 0.6)]


def batch(process, t):
    random = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(5, 3, 4, 4, generator=random, dtype=torch.float64) for _ in range(2))
    times = torch.full((5,), t, dtype=torch.long if process.kind == "vp" else torch.float64)
    return x0, eps, times, process.add_noise(x0, eps, times)


@pytest.mark.parametrize("process,t", PROCESSES)
def test_every_conversion_returns_x0(process, t):
    x0, eps, t, x_t = batch(process, t)
    assert torch.allclose(process.x0_from_eps(x_t, eps, t), x0, atol=1e-12)
    assert torch.allclose(process.eps_from_x0(x_t, x0, t), eps, atol=1e-12)
    a, sigma = (value.view(-1, 1, 1, 1) for value in process.coefficients(t))
    assert torch.allclose(process.x0_from_v(x_t, a * eps - sigma * x0, t), x0, atol=1e-10)
    flow = process.flow_from_x0(x_t, x0, t)
    assert torch.allclose(process.x0_from_flow(x_t, flow, t), x0, atol=1e-10)


def test_flow_means_what_the_paper_means():
    x0, eps, t, x_t = batch(Flow(), 0.3)
    assert torch.allclose(Flow().flow_from_x0(x_t, x0, t), eps - x0)


@pytest.mark.parametrize("process,t,loss", [(VpDiscrete(), 400, "eps"), (Flow(), 0.4, "flow"), (Edm(), 0.7, "edm")])
def test_the_critic_weight_turns_the_x0_error_into_the_published_loss(process, t, loss):
    x0, _, t, x_t = batch(process, t)
    guess = x0 + 0.1 * torch.randn(x0.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    ours = process.critic_weight(t) * ((guess - x0) ** 2).flatten(1).sum(1)
    if loss == "edm":  # the error in units of the network's output, whose target has unit variance
        c_out = t * process.sigma_data / (t**2 + process.sigma_data**2).sqrt()
        published = (((guess - x0) / c_out.view(-1, 1, 1, 1)) ** 2).flatten(1).sum(1)
    else:
        to = getattr(process, f"{loss}_from_x0")
        published = ((to(x_t, guess, t) - to(x_t, x0, t)) ** 2).flatten(1).sum(1)
    assert torch.allclose(ours, published, rtol=1e-10)


def test_stable_diffusion_constants():
    process = VpDiscrete()
    a, sigma = process.coefficients(torch.tensor([625, 999]))
    assert torch.allclose(a**2, torch.tensor([0.13777, 0.0046601], dtype=torch.float64), rtol=1e-4)
    assert (sigma / a)[0].item() == pytest.approx(2.5017, abs=1e-4)
    assert process.grid(625, 4) == [625, 468, 312, 156]  # truncated, as the published sampler does
    assert process.grid(999, 4) == [999, 749, 499, 249]


def test_time_laws():
    u = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    karras = KarrasUniform(800).quantile(u)
    assert karras.min().item() == pytest.approx(0.002, rel=1e-2) and karras.max().item() == pytest.approx(
        24.41, rel=1e-3
    )
    middle = KarrasUniform(1000).quantile(torch.tensor([0.5], dtype=torch.float64))
    assert middle.item() == pytest.approx(2.515, abs=1e-3)
    log = LogNormal().quantile(u).log()
    assert log.mean().item() == pytest.approx(-1.2, abs=1e-4) and log.std().item() == pytest.approx(1.2, abs=1e-3)
    steps = UniformStep().quantile(u)
    assert steps.min() == 20 and steps.max() == 979 and steps.double().mean().item() == pytest.approx(499.5, abs=0.01)
    logit = torch.logit(LogitNormal().quantile(u))
    assert logit.mean().item() == pytest.approx(math.log(2), abs=1e-4)

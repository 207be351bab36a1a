"""f-divergences by the density ratio: weights against f'' by finite differences, gradients against Gaussians."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sid import losses, ratio

F: dict[str, Callable[[Tensor], Tensor]] = {
    "reverse-kl": lambda r: -torch.log(r),
    "softened-reverse-kl": lambda r: (r + 1) * torch.log((r + 1) / (2 * r)),
    "jensen-shannon": lambda r: r * torch.log(r) - (r + 1) * torch.log((r + 1) / 2),
    "hellinger": lambda r: 4 * (1 - r.sqrt()),
    "forward-kl": lambda r: r * torch.log(r),
    "jeffreys": lambda r: (r - 1) * torch.log(r),
}
# Teacher N(mu, v), generator N(m, s^2), noised by sigma: near enough that no density that counts meets the clamp.
MU, V, M, S2, SIGMA = 0.3, 1.0, -0.6, 0.8, 0.7


def test_every_divergence_is_defined_here() -> None:
    assert set(F) == set(ratio.DIVERGENCES)
    for f in F.values():
        assert f(torch.ones(1, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("name", F)
def test_the_weight_is_r_squared_times_the_second_derivative(name: str) -> None:
    r = torch.tensor([0.05, 0.4, 1.0, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(F[name](r).sum(), r, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), r)
    torch.testing.assert_close(ratio.weight(name, r.detach().log()), r.detach() ** 2 * second, rtol=1e-9, atol=0)


def density(x: Tensor, mean: Tensor | float, variance: Tensor | float) -> Tensor:
    return torch.exp(-((x - mean) ** 2) / (2 * variance)) / (2 * math.pi * variance) ** 0.5  # type: ignore[operator]


@pytest.mark.parametrize("name", F)
def test_the_weighted_direction_is_the_divergences_gradient(name: str) -> None:
    """D_f of two noised Gaussians by quadrature, its derivatives by m and ln s, against E_q[h (s_q - s_p) dx]."""
    grid = torch.linspace(-14, 14, 20_001, dtype=torch.float64)
    m, ln_s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (M, math.log(S2) / 2))
    Q, S = V + SIGMA**2, torch.exp(2 * ln_s) + SIGMA**2
    p, q = density(grid, MU, Q), density(grid, m, S)
    divergence = torch.trapezoid(q * F[name](p / q), grid)
    exact = torch.stack(torch.autograd.grad(divergence, (m, ln_s)))
    with torch.no_grad():
        h = ratio.weight(name, (p / q).log())
        direction = h * ((m - grid) / S - (MU - grid) / Q)  # s_q - s_p
        # x_t = m + s z + sigma eps: dx_t/dm = 1, and of s z only its mean given x_t counts.
        by_scale = torch.exp(2 * ln_s) / S * (grid - m)
        ours = torch.stack([torch.trapezoid(q * direction * part, grid) for part in (torch.ones_like(grid), by_scale)])
    torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-8)


def test_uni_instructs_forward_kl_needs_the_ratios_own_gradient() -> None:
    """E_p |s_p - s_q|^2 = Q (1/S - 1/Q)^2 + (mu - m)^2 / S^2: by m, and by ln s through S with dS = 2 s^2 d ln s.

    r times SiD at alpha = 1, times 2 / sigma^4, has this gradient where r is differentiated; detached it has not.
    """
    random = torch.Generator().manual_seed(0)
    z, eps = (torch.randn(2_000_000, 1, generator=random, dtype=torch.float64) for _ in range(2))
    Q, S = V + SIGMA**2, S2 + SIGMA**2
    by_m = 2 * (M - MU) / S**2
    by_s = 2 * S2 * (-2 * Q * (1 / S - 1 / Q) / S**2 - 2 * (MU - M) ** 2 / S**3)
    exact = torch.tensor([by_m, by_s], dtype=torch.float64)

    def gradient(detach: bool) -> Tensor:
        m, ln_s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (M, math.log(S2) / 2))
        x = m + ln_s.exp() * z
        x_t = x + SIGMA * eps
        teacher, critic = (SIGMA**2 * MU + V * x_t) / Q, (SIGMA**2 * M + S2 * x_t) / S
        log_ratio = (x_t - M) ** 2 / (2 * S) - (x_t - MU) ** 2 / (2 * Q) + 0.5 * math.log(S / Q)
        h = ratio.weight("forward-kl", log_ratio.detach() if detach else log_ratio)
        loss = 2 / SIGMA**4 * losses.weighted(h, losses.sid(x, teacher, critic, 1.0))
        return torch.stack(torch.autograd.grad(loss.mean(), (m, ln_s)))

    assert (gradient(False) - exact).norm() <= 0.02 * exact.norm()
    assert (gradient(True) - exact).norm() > 0.1 * exact.norm()


def test_a_map_counts_by_its_mean_and_extreme_logits_are_clamped() -> None:
    logits = torch.tensor([[[1.0, 3.0]], [[-90.0, -50.0]], [[400.0, 400.0]]])
    torch.testing.assert_close(ratio.weight("forward-kl", logits), torch.tensor([2.0, -10.0, 10.0]).exp())


def test_the_mean_is_one_and_a_missing_sample_has_no_part_in_it() -> None:
    weights = torch.tensor([1.0, 3.0, math.nan])
    seen = ratio.with_mean_one(weights)
    assert torch.equal(seen[:2], torch.tensor([0.5, 1.5])) and seen[2].isnan()
    assert torch.isfinite(ratio.with_mean_one(torch.zeros(2))).all()


def test_an_unknown_divergence_is_a_sentence() -> None:
    assert ratio.divergence_faults("forward-lk")[0].startswith("unknown divergence 'forward-lk'; did you mean")
    with pytest.raises(ValueError, match="unknown divergence"):
        ratio.weight("no such", torch.zeros(1))

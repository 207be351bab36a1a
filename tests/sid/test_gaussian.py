"""Closed-form gradients for Gaussian teachers and generators: Monte-Carlo against the exact expectation.

Teacher N(mu, v), generator x = m + s z, a = 1, S = s^2 + sigma^2, Q = v + sigma^2; teacher and critic are the exact
x0 predictions (sigma^2 mu + v x_t)/Q and (sigma^2 m + s^2 x_t)/S with m and s frozen in the critic.
"""

import pytest
import torch

from sid import losses
from tests.sid import gaussian

MU, V, M, LN_S = 0.3, 1.5, -0.9, 0.4  # far enough apart that no expectation is lost in its own noise


def gradients(loss_of, sigma: float, samples: int, seed: int = 0) -> torch.Tensor:
    """(d/dm, d/d ln s) of the mean loss over the samples, and exactly the shared x_t = x + sigma eps."""
    random = torch.Generator().manual_seed(seed)
    z, eps = (torch.randn(samples, 1, generator=random, dtype=torch.float64) for _ in range(2))
    m, ln_s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (M, LN_S))
    x = m + ln_s.exp() * z
    x_t = x + sigma * eps
    s2 = ln_s.detach().exp() ** 2
    teacher = (sigma**2 * MU + V * x_t) / (V + sigma**2)
    critic = (sigma**2 * m.detach() + s2 * x_t) / (s2 + sigma**2)
    loss_of(x, x_t, teacher, critic).mean().backward()
    return torch.stack([m.grad, ln_s.grad])


def constants(sigma: float):
    return gaussian.variances(LN_S, V, sigma)


def exact_sid(sigma: float, alpha: float) -> torch.Tensor:
    return gaussian.sid(M, LN_S, MU, V, sigma, alpha)


def exact_sim(sigma: float) -> torch.Tensor:
    return gaussian.sim(M, LN_S, MU, V, sigma)


def exact_diff_instruct(sigma: float) -> torch.Tensor:
    return gaussian.matching(M, LN_S, MU, V, sigma)


def sim_squared(sigma: float):
    scale = torch.tensor([1 / sigma**2], dtype=torch.float64)
    return lambda x, x_t, teacher, critic: losses.sim(x, teacher, critic, scale, "squared")


CASES = {f"sid-{alpha}": alpha for alpha in (0.5, 1.0, 1.2)} | {"sim": "sim", "diff-instruct": "di"}


def both(case, sigma: float, samples: int):
    if case == "sim":
        return gradients(sim_squared(sigma), sigma, samples), exact_sim(sigma)
    if case == "di":
        return gradients(lambda x, _, t, c: losses.matching(x, t, c), sigma, samples), exact_diff_instruct(sigma)
    return gradients(lambda x, _, t, c: losses.sid(x, t, c, case), sigma, samples), exact_sid(sigma, case)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("samples,tolerance", [(100_000, 0.02), (1_000_000, 0.005)])
def test_the_gradient_is_the_closed_form_one(case, sigma, samples, tolerance):
    estimate, exact = both(case, sigma, samples)
    error = (estimate - exact).norm() / exact.norm()
    assert error <= tolerance, f"relative error {error:.4f}"


@pytest.mark.parametrize("samples", [200_000])
def test_alpha_outside_a_half_to_one_can_point_the_wrong_way(samples):
    """The bracket of the mean gradient is (2 alpha - 1)/S + 2 (1 - alpha)/Q: alpha = 1.2 flips at S > 3.5 Q."""
    global V
    old, V = V, 0.05
    try:
        sigma = 0.2
        _, S, Q = constants(sigma)
        assert S > 3.5 * Q
        signs = {alpha: both(alpha, sigma, samples)[0][0].sign() for alpha in (0.5, 1.0, 1.2)}
        assert signs[0.5] == signs[1.0] == torch.sign(torch.tensor(M - MU, dtype=torch.float64)) != signs[1.2]
    finally:
        V = old


def test_sid_at_a_half_is_the_fisher_gradient():
    """alpha = 1/2: half the gradient of sigma^4 E|s_p - s_q|^2 = sigma^4 ((S-Q)^2/(S Q^2) + (m-mu)^2/Q^2)."""
    sigma = 0.8
    m, ln_s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (M, LN_S))
    S, Q = (2 * ln_s).exp() + sigma**2, V + sigma**2
    fisher = (S - Q) ** 2 / (S * Q**2) + (m - MU) ** 2 / Q**2
    (0.5 * sigma**4 * fisher).backward()
    assert torch.allclose(exact_sid(sigma, 0.5), torch.stack([m.grad, ln_s.grad]), rtol=1e-12)


def test_diff_instruct_is_the_kl_gradient():
    sigma = 0.8
    m, ln_s = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (M, LN_S))
    S, Q = (2 * ln_s).exp() + sigma**2, V + sigma**2
    (0.5 * sigma**2 * ((S + (m - MU) ** 2) / Q - 1 + torch.log(Q / S))).backward()
    assert torch.allclose(exact_diff_instruct(sigma), torch.stack([m.grad, ln_s.grad]), rtol=1e-12)

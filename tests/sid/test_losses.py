"""Identities between the losses, in float64: pointwise value and gradient by every argument."""

import pytest
import torch

from sid import losses

B = 6


@pytest.fixture
def case():
    random = torch.Generator().manual_seed(0)
    x, teacher, critic = (torch.randn(B, 2, 3, 3, generator=random, dtype=torch.float64) for _ in range(3))
    a = torch.rand(B, generator=random, dtype=torch.float64) * 0.8 + 0.1
    sigma = torch.rand(B, generator=random, dtype=torch.float64) * 2 + 0.2
    return x, teacher, critic, a, sigma


def with_gradients(loss, *tensors):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = loss(*leaves)
    gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    zeros = [torch.zeros_like(leaf) for leaf in leaves]
    return value.detach(), [zero if g is None else g for g, zero in zip(gradients, zeros, strict=True)]


def same(first, second, **tolerance):
    value, gradients = first
    other, others = second
    assert torch.allclose(value, other, **tolerance)
    assert all(torch.allclose(g, o, **tolerance) for g, o in zip(gradients, others, strict=True))


def test_sid_has_two_identical_forms(case):
    x, teacher, critic, _, _ = case
    alpha = 1.2
    expanded = ((teacher - critic) * ((teacher - x) - alpha * (teacher - critic))).flatten(1).sum(1)
    assert torch.allclose(losses.sid(x, teacher, critic, alpha), expanded)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.2])
def test_the_seeds_of_sid(case, alpha):
    """d/d teacher = (teacher - x) + (1 - 2 alpha)(teacher - critic), d/d critic = -(teacher - x) + 2 alpha (...),
    d/dx = -(teacher - critic)."""
    x, teacher, critic, _, _ = case
    _, (dx, dteacher, dcritic) = with_gradients(lambda *t: losses.sid(*t, alpha), x, teacher, critic)
    gap = teacher - critic
    assert torch.allclose(dx, -gap)
    assert torch.allclose(dteacher, (teacher - x) + (1 - 2 * alpha) * gap)
    assert torch.allclose(dcritic, -(teacher - x) + 2 * alpha * gap)


def test_squared_sim_is_sid_at_alpha_one(case):
    x, teacher, critic, a, sigma = case
    scale = a / sigma**2
    ours = with_gradients(lambda *t: losses.sim(*t, scale, "squared"), x, teacher, critic)
    sid = with_gradients(lambda *t: 2 * a**2 / sigma**4 * losses.sid(*t, 1.0), x, teacher, critic)
    same(ours, sid, rtol=1e-12)


def test_sim_with_its_weight_is_weighted_sid(case):
    x, teacher, critic, a, sigma = case
    weight = sigma**4 / (2 * a**2) * losses.normaliser(x, teacher)
    ours = with_gradients(lambda *t: weight * losses.sim(*t, a / sigma**2, "squared"), x, teacher, critic)
    sid = with_gradients(lambda *t: losses.normaliser(x, teacher) * losses.sid(*t, 1.0), x, teacher, critic)
    same(ours, sid, rtol=1e-12)


def test_power_two_is_squared_and_power_one_is_pseudo_huber_at_zero(case):
    x, teacher, critic, a, sigma = case
    scale = a / sigma**2

    def sim(distance, **options):
        return with_gradients(lambda *t: losses.sim(*t, scale, distance, **options), x, teacher, critic)

    same(sim("power", power=2.0), sim("squared"), rtol=1e-12)
    same(sim("power", power=1.0), sim("pseudo-huber", c=0.0), rtol=1e-12)
    norm = (scale**2 * (critic - teacher).square().flatten(1).sum(1)).sqrt()
    sid = losses.sid(x, teacher, critic, 1.0) * scale**2 / norm
    assert torch.allclose(sim("pseudo-huber", c=0.0)[0], sid)


def test_pseudo_huber_tends_to_squared_for_large_c(case):
    x, teacher, critic, a, sigma = case
    scale, c = a / sigma**2, 1e8
    huge = with_gradients(lambda *t: 2 * c * losses.sim(*t, scale, "pseudo-huber", c=c), x, teacher, critic)
    same(huge, with_gradients(lambda *t: losses.sim(*t, scale, "squared"), x, teacher, critic), rtol=1e-9)


def test_huber_is_quadratic_inside_and_linear_outside(case):
    x, teacher, critic, a, sigma = case
    scale = a / sigma**2

    def sim(distance, **options):
        return with_gradients(lambda *t: losses.sim(*t, scale, distance, **options), x, teacher, critic)

    value, gradients = sim("squared")
    same(sim("huber", c=1e9), (value / 2, [g / 2 for g in gradients]), rtol=1e-12)
    value, gradients = sim("pseudo-huber", c=0.0)
    same(sim("huber", c=1e-9), (1e-9 * value, [1e-9 * g for g in gradients]), rtol=1e-9, atol=1e-18)


def test_the_denominator_is_differentiated_unless_detached(case):
    x, teacher, critic, a, sigma = case
    scale = a / sigma**2
    attached = with_gradients(lambda *t: losses.sim(*t, scale, "pseudo-huber", c=0.3), x, teacher, critic)
    cut = with_gradients(
        lambda *t: losses.sim(*t, scale, "pseudo-huber", c=0.3, detach_denominator=True), x, teacher, critic
    )
    assert torch.allclose(attached[0], cut[0]) and not torch.allclose(attached[1][2], cut[1][2])


def test_x0_space_is_score_space_with_c_scaled(case):
    x, teacher, critic, a, sigma = case
    scale = a / sigma**2
    in_x0 = losses.sim(x, teacher, critic, torch.ones_like(scale), "pseudo-huber", c=0.7)
    score = torch.stack(
        [
            losses.sim(x[i : i + 1], teacher[i : i + 1], critic[i : i + 1], scale[i : i + 1], c=0.7 * scale[i].item())[
                0
            ]
            for i in range(B)
        ]
    )
    assert torch.allclose(scale * in_x0, score)


@pytest.mark.parametrize("distance,c", [("pseudo-huber", 0.0), ("power", 0.0), ("huber", 0.1), ("squared", 0.0)])
def test_sim_is_finite_where_critic_equals_teacher(case, distance, c):
    x, teacher, _, a, sigma = case
    value, gradients = with_gradients(
        lambda *t: losses.sim(*t, a / sigma**2, distance, c, power=1.0), x, teacher, teacher.clone()
    )
    assert torch.isfinite(value).all() and all(torch.isfinite(gradient).all() for gradient in gradients)


def test_sid_is_affine_in_alpha(case):
    """g(alpha) = (2 alpha - 1) g(1) + 2 (1 - alpha) g(1/2)."""
    x, teacher, critic, _, _ = case
    for alpha in (-0.3, 0.7, 1.2):
        mixed = (2 * alpha - 1) * losses.sid(x, teacher, critic, 1.0) + 2 * (1 - alpha) * losses.sid(
            x, teacher, critic, 0.5
        )
        assert torch.allclose(losses.sid(x, teacher, critic, alpha), mixed)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.2])
def test_detached_sid_is_the_dmd_direction(case, alpha):
    x, teacher, critic, _, _ = case
    weight = losses.normaliser(x, teacher)
    _, (sid,) = with_gradients(lambda x: weight * losses.sid(x, teacher, critic, alpha), x)
    _, (dmd,) = with_gradients(lambda x: weight * losses.matching(x, teacher, critic), x)
    assert torch.allclose(sid, dmd, rtol=1e-12)
    assert torch.allclose(dmd, weight.view(-1, 1, 1, 1) * (critic - teacher))


def test_matching_differentiates_no_network(case):
    x, teacher, critic, _, _ = case
    _, (_, dteacher, dcritic) = with_gradients(losses.matching, x, teacher, critic)
    assert dteacher.abs().max() == dcritic.abs().max() == 0


def test_the_normaliser_is_floored_and_carries_no_gradient(case):
    x, teacher, _, _, _ = case
    assert torch.allclose(losses.normaliser(x, x), torch.full((B,), 1e5, dtype=torch.float64))
    assert not losses.normaliser(x.requires_grad_(), teacher).requires_grad
    assert torch.allclose(losses.normaliser(x, teacher), 1 / (x - teacher).abs().mean((1, 2, 3)))


def test_a_different_critic_beside_x_is_the_lsg_form(case):
    x, teacher, critic, _, _ = case
    other = critic + 0.1
    expected = ((teacher - critic) * (other - x)).flatten(1).sum(1)
    assert torch.allclose(losses.sid(x, teacher, critic, 1.0, critic_at_k3=other), expected)
    assert torch.equal(losses.sid(x, teacher, critic, 1.2, critic), losses.sid(x, teacher, critic, 1.2))


def test_logistic_losses_are_the_cross_entropy(case):
    logit = case[0]
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(logit), torch.zeros_like(logit)
    per_sample = {"reduction": "none"}
    assert torch.allclose(losses.logistic_real(logit), bce(logit, ones, **per_sample).flatten(1).mean(1))
    assert torch.allclose(losses.logistic_fake(logit), bce(logit, zeros, **per_sample).flatten(1).mean(1))


def test_sid_dits_weights_on_flow():
    """a = 1 - sigma at t = 0.25, 0.5 and 0.8; 1/sigma^2 turns the x0 form into the flow form."""
    x = torch.zeros(3, 1, 2, 2)
    sigma = torch.tensor([0.25, 0.5, 0.8])
    expected = {"a": 1 - sigma, "a2": (1 - sigma) ** 2, "1/sigma": 1 / sigma, "1/sigma2": sigma**-2}
    for kind, weight in expected.items():
        torch.testing.assert_close(losses.time_weight(kind, x, x, 1 - sigma, sigma), weight)

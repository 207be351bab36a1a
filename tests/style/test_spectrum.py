"""CS-SVD and SS-CFG in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sid.style.network import StyledNetwork
from sid.style.projection import CleanProjection, Moment
from sid.style.settings import SCHEDULES, CleanStyle
from sid.style.spectrum import damped


def same(first: Tensor, second: Tensor, within: float = 1e-6) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=within)


def rotation(size: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=random, dtype=torch.float64))[0]


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def tokens(request: pytest.FixtureRequest) -> Tensor:
    return torch.randn(3, 4, 10, generator=torch.Generator().manual_seed(0)).to(request.param)


def test_by_hand(tokens: Tensor) -> None:
    known = torch.diag(torch.tensor([3.0, 1.0], dtype=tokens.dtype))
    same(damped(known, 1, 0.5), torch.diag(torch.tensor([3.0, math.exp(-0.5)], dtype=tokens.dtype)))
    all_of_it = torch.diag(torch.tensor([3 * math.exp(-1.5), math.exp(-0.5)], dtype=tokens.dtype))
    same(damped(known, 0, 0.5), all_of_it)
    assert damped(known, 1, 0.5)[1, 1].item() == pytest.approx(0.6065, abs=5e-5)


@pytest.mark.parametrize(("k", "a"), [(1, 0.0), (4, 0.5), (9, 2.0)])
def test_the_identity_is_exact(tokens: Tensor, k: int, a: float) -> None:
    """Without damping, and where every component is a main one."""
    assert torch.equal(damped(tokens, k, a), tokens)


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_with_beta_0_it_is_the_projection_of_rank_k(tokens: Tensor, k: int) -> None:
    left, values, right = torch.linalg.svd(tokens.double(), full_matrices=False)
    best = (left[..., :k] * values[..., None, :k]) @ right[..., :k, :]
    same(damped(tokens, k, 0.3, beta=0.0).double(), best)
    assert (torch.linalg.matrix_rank(damped(tokens, k, 0.3, beta=0.0), atol=1e-5, rtol=0.0) == k).all()


def test_the_singular_values_are_the_formulas_and_the_vectors_stay(tokens: Tensor) -> None:
    left, values, right = torch.linalg.svd(tokens.double(), full_matrices=False)
    changed = torch.where(torch.arange(4) < 1, values, 0.7 * torch.exp(-0.4 * values) * values)
    same(damped(tokens, 1, 0.4, 0.7).double(), (left * changed[..., None, :]) @ right)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_rotations_of_tokens_and_of_features_pass_through(tokens: Tensor, k: int) -> None:
    rows, columns = rotation(4, 1), rotation(10, 2)
    turned = rows @ tokens.double() @ columns
    same(damped(turned, k, 0.4, 0.9), rows @ damped(tokens.double(), k, 0.4, 0.9) @ columns)


def test_repeated_values_do_not_depend_on_the_basis() -> None:
    """diag(5, 2, 2) in two bases of the repeated value's plane: the tail is damped as one."""
    plane = torch.eye(3, dtype=torch.float64)
    plane[1:, 1:] = rotation(2, 3)
    values = torch.tensor([5.0, 2.0, 2.0], dtype=torch.float64)
    expected = torch.tensor([5.0, 2 * math.exp(-1.0), 2 * math.exp(-1.0)], dtype=torch.float64)
    same(damped(torch.diag(values), 1, 0.5), torch.diag(expected))
    same(damped(plane @ torch.diag(values), 1, 0.5), plane @ torch.diag(expected))


def test_one_component_alone_is_kept_by_one_rule_and_damped_by_the_other() -> None:
    outer = torch.outer(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0, 0.0])).double()  # sigma = 5
    same(damped(outer, 1, 0.5), outer)
    same(damped(outer, 0, 0.2), math.exp(-1.0) * outer)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_batch_and_the_dtype_that_comes(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 4, 10, generator=torch.Generator().manual_seed(4)).to(dtype)
    together = damped(x, 1, 0.5)
    assert together.dtype == dtype
    for i in range(2):
        for j in range(3):
            assert torch.equal(together[i, j], damped(x[i, j], 1, 0.5))


def test_the_rows_are_cleaned_each_by_its_rule() -> None:
    linear, moment = torch.nn.Linear(6, 10, bias=False), Moment(0.0, torch.tensor([False, True, True]))
    x = torch.randn(3, 1, 4, 6)
    plain = linear(x)
    settings = CleanStyle(svd=True, cfg=True, alpha=0.5, alpha_unconditional=0.2)
    seen = CleanProjection(linear, settings, moment)(x)
    assert torch.equal(seen[0], damped(plain, 0, 0.2)[0])
    assert torch.equal(seen[1:], damped(plain, 1, settings.damping(0.0))[1:])
    alone = CleanProjection(linear, CleanStyle(svd=False, cfg=False, alpha_unconditional=0.2), moment)
    assert torch.equal(alone(x), plain)


def test_the_published_schedule_is_the_identity_at_one_step() -> None:
    """1 - s at p = 1 is 8.3e-7; at four steps 0.731, 0.018, 1.2e-4 and 8e-7."""
    settings = CleanStyle(alpha=1.0)
    assert settings.damping(1.0) == pytest.approx(8.3e-7, rel=0.01)
    at_four = [settings.damping(step / 4) for step in (1, 2, 3, 4)]
    assert at_four == pytest.approx([0.731, 0.018, 1.23e-4, 8.3e-7], rel=0.02)
    assert settings.damping(0.3) == 0.5
    assert CleanStyle(alpha=1.0, gamma=1e9).damping(0.29) == 1 and CleanStyle(alpha=1.0, gamma=1e9).damping(0.31) == 0


@pytest.mark.parametrize(
    ("schedule", "expected"), [("published", [0.25, 0.5, 0.75, 1]), ("shifted", [0, 0.25, 0.5, 0.75])]
)
def test_a_position_comes_from_the_time_alone(schedule: str, expected: list[float]) -> None:
    """Whatever was called before: the order of the calls does not matter."""
    from sid.noise import Flow, VpDiscrete

    times = [999.0, 749.0, 499.0, 249.0]
    network = StyledNetwork(
        torch.nn.Identity(), VpDiscrete(), times, torch.zeros(1), Moment(), CleanStyle(schedule=schedule)
    )
    assert [network.position(time) for time in times] == expected
    assert [network.position(time) for time in reversed(times)] == expected[::-1]
    by_noise = CleanStyle(schedule="noise")
    network = StyledNetwork(torch.nn.Identity(), VpDiscrete(), times, torch.zeros(1), Moment(), by_noise)
    assert [network.position(time) for time in times] == pytest.approx([0, 0.25, 0.5, 0.75])
    assert network.position(625) == pytest.approx(0.374)
    network = StyledNetwork(torch.nn.Identity(), Flow(), [1.0], torch.zeros(1), Moment(), by_noise)
    assert network.position(0.25) == 0.75


def test_faults_are_sentences() -> None:
    assert CleanStyle().faults() == [] and set(SCHEDULES) == {"published", "shifted", "noise"}
    assert CleanStyle(schedule="nois").faults() == ["unknown style schedule 'nois'; did you mean 'noise'?"]
    assert len(CleanStyle(k=-1, alpha=math.nan, beta=-1.0).faults()) == 3

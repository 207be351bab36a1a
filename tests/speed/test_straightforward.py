"""The baseline of all ratios is frozen and has the passes of the published scripts.

Forward passes F (E: up to the encoder's features), backward passes B to weights and inputs, I to inputs alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.speed import straightforward
from benchmarks.speed.cases import CASES, Side, count_flops, flops_of_round, last_step
from benchmarks.speed.straightforward import Loop, StepSettings
from sid.condition import Condition
from sid.draws import Draws
from tests.sid.test_passes import BATCH, Count, Passes, cost

FROZEN = "b8f17fae297e322d"

SID = ({"F": 2, "B": 1}, {"F": 3, "B": 1, "I": 2})
GUIDED = ({"F": 3, "B": 2}, {"F": 5, "B": 1, "I": 4})
ADVERSARIAL = {"F": 1, "B": 1, "E": 2, "EB": 2}  # reuses the image of the generator's turn
MATCHING = {"F": 4, "B": 1, "E": 1, "EI": 1}  # one F of these is guidance


def passes(case: str, step: int, turn: int = 0) -> dict[str, Passes]:
    """The passes of one iteration, by player; `step` is how many steps of a chain go before the last."""
    loop = Side(CASES[case], BATCH, tiny=True, device="cpu").straightforward()
    loop.iteration = turn
    condition = loop.encode(loop.size)
    loop.encode = lambda count: condition
    counted: dict[str, Passes] = {}
    counter = Count.__new__(Count)
    for net in (loop.teacher, loop.critic, loop.generator):
        net.register_forward_hook(counter._ran)
    plain = loop.update

    def update(net: Any, loss: Any) -> None:
        name = "critic" if net is loop.critic else "generator"
        counter.now = counted[name] = defaultdict(float)
        plain(net, loss)

    loop.update = update  # type: ignore[method-assign]
    loop.last_step = lambda steps: step  # type: ignore[method-assign]
    loop.iterate()
    return {name: dict(total) for name, total in counted.items()}


def test_it_is_frozen() -> None:
    """A faster or slower baseline would move every published ratio: a change of its work needs new records."""
    assert hashlib.sha256(Path(straightforward.__file__).read_bytes()).hexdigest()[:16] == FROZEN


@pytest.mark.parametrize(("case", "expected", "total"), [("sid-ddpmpp-32", SID, 11), ("sid-lsg-sd15", GUIDED, 18)])
def test_one_step_passes(case: str, expected: tuple[Passes, Passes], total: float) -> None:
    counted = passes(case, 0)
    assert counted == dict(zip(("critic", "generator"), expected, strict=True))
    assert sum(map(cost, counted.values())) == total


def test_a_chain_costs_its_steps() -> None:
    for step in range(4):
        counted = passes("sid-few-step-sdxl", step)
        critic, generator = SID
        assert counted == {"critic": critic | {"F": 2 + step}, "generator": generator | {"F": 3 + step}}


def test_dmd2_passes() -> None:
    """Five iterations: 40, and one more for guidance."""
    own = passes("dmd2-sdxl", 0)
    assert own == {"generator": MATCHING, "critic": ADVERSARIAL}
    other = passes("dmd2-sdxl", 0, turn=1)
    assert other == {"critic": ADVERSARIAL | {"F": 2}}
    assert sum(map(cost, own.values())) + 4 * cost(other["critic"]) == 40 + 1


def test_it_is_float32_with_foreach_adam() -> None:
    loop = Side(CASES["sid-ddpmpp-32"], 2, tiny=True, device="cpu").straightforward()
    for net, adam in loop.learners.items():
        assert type(adam) is torch.optim.Adam and adam.defaults["foreach"] and not adam.defaults["fused"]
        assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
        assert not any(
            parameter.is_contiguous(memory_format=torch.channels_last)
            for parameter in net.parameters()
            if parameter.ndim == 4 and parameter.shape[2] > 1 and parameter.shape[1] > 1
        )


@pytest.mark.parametrize("case", CASES)
def test_flops_are_counted_on_tensors_without_memory(case: str) -> None:
    """As many as the passes compute, for the chains that both sides cut alike; no weight is there to be multiplied."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    side = Side(CASES[case], 2, tiny=True, device="cpu")
    loop, period, rounds = side.straightforward(), side.case.settings.ratio, 2
    flops = flops_of_round(count_flops(side), side.case.settings, rounds, side.batch)
    assert all(parameter.is_meta for parameter in side.hollow().generator.parameters())
    if side.text is not None:
        condition = side.text.condition(loop.size)
        loop.encode = lambda count: condition
    for _ in range(period):
        loop.iterate()
    # Attention as it is written: a kernel that computes its weights again in the backward pass would count them twice.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        for _ in range(period * rounds):
            loop.iterate()
    assert flops == pytest.approx(counter.get_total_flops() / rounds, rel=1e-6)


def test_both_sides_cut_the_chain_alike() -> None:
    steps = [last_step(iteration, 4) for iteration in range(40)]
    assert set(steps) == {0, 1, 2, 3}
    assert steps == [Draws(0, iteration, range(3), "critic").integer("step", 1, 4) - 1 for iteration in range(40)]


def test_accumulation_makes_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "dropout", lambda x, *args, **options: x)
    side = Side(CASES["sid-ddpmpp-32"], 4, tiny=True, device="cpu")
    gradients = []
    for micro in (None, 2):
        loop = Loop(side.teacher, lambda count: Condition(), side.shape, StepSettings(micro=micro), 4)
        x = torch.randn(4, *side.shape, generator=torch.Generator().manual_seed(0))
        parts = iter([x] if micro is None else [x[:2], x[2:]])
        loop.update(loop.critic, lambda loop=loop, parts=parts: loop.critic(next(parts), loop.at(1.0)).image.sum())
        gradients.append([p.grad.clone() for p in loop.critic.parameters() if p.grad is not None])
    for whole, parts in zip(*gradients, strict=True):
        assert (whole - parts).norm() < 1e-4 * whole.norm() + 1e-6

"""Sums of gradients that begin while the backward pass runs: when, in which order, and of what. One process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sid.parallel import overlap
from sid.parallel.overlap import Overlap

LAYERS = 8


class Sums:
    """In place of torch.distributed: doubles, as two equal processes would, when it is waited for."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.on_their_way = self.most = 0

    def all_reduce(self, flat: Tensor, async_op: bool) -> Any:
        assert async_op
        self.events.append(f"sum of {flat.numel()}")
        self.on_their_way += 1
        self.most = max(self.most, self.on_their_way)
        return _Work(self, flat)

    def broadcast(self, order: Tensor, source: int) -> None:
        assert source == 0 and order.numel() == len(set(order[order >= 0].tolist())) + int((order < 0).sum())


class _Work:
    def __init__(self, sums: Sums, flat: Tensor):
        self.sums, self.flat = sums, flat

    def wait(self) -> None:
        self.sums.on_their_way -= 1
        self.flat.mul_(2)


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sums]:
    sums = Sums()
    monkeypatch.setattr(overlap, "dist", sums)
    monkeypatch.setattr(overlap, "BUCKET", 2 * 10 * 10)  # two layers
    yield sums


def layers(sums: Sums) -> tuple[nn.Sequential, Overlap]:
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Linear(10, 10, bias=False) for _ in range(LAYERS)))
    parameters = list(net.parameters())
    for number, parameter in enumerate(parameters):
        parameter.register_post_accumulate_grad_hook(lambda _, number=number: sums.events.append(f"layer {number}"))
    return net, Overlap(parameters)


def update(net: nn.Sequential, subject: Overlap, rounds: int = 1, used: int = LAYERS) -> list[Tensor | None]:
    """The gradients of an update; the doubled ones are those of two processes."""
    net.zero_grad()
    for number in range(rounds):
        loss = net[LAYERS - used :](torch.ones(2, 10)).square().sum()
        if number == rounds - 1:
            subject.begin()
        loss.backward()
    subject.finish()
    return [parameter.grad for parameter in net.parameters()]


def plain(net: nn.Sequential, rounds: int = 1, used: int = LAYERS) -> list[Tensor | None]:
    net.zero_grad()
    for _ in range(rounds):
        net[LAYERS - used :](torch.ones(2, 10)).square().sum().backward()
    return [None if parameter.grad is None else 2 * parameter.grad for parameter in net.parameters()]


def equal(ours: list[Tensor | None], theirs: list[Tensor | None]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(here is there is None or torch.equal(here, there) for here, there in pairs)  # type: ignore[arg-type]


def test_sums_begin_before_the_last_gradient_comes(sums: Sums) -> None:
    net, subject = layers(sums)
    first = update(net, subject)
    assert [event for event in sums.events if event.startswith("sum")] == sums.events[LAYERS:], "the order is learned"
    sums.events.clear()
    assert equal(update(net, subject), first) and equal(first, plain(net))
    expected = []
    for number in reversed(range(LAYERS)):
        expected += [f"layer {number}", *(["sum of 200"] if number % 2 == 0 else [])]
    assert sums.events == [*expected, *(f"layer {number}" for number in reversed(range(LAYERS)))]
    assert sums.most == 2 and sums.on_their_way == 0


def test_accumulated_gradients_are_summed_once_in_the_last_round(sums: Sums) -> None:
    net, subject = layers(sums)
    update(net, subject)
    sums.events.clear()
    ours = update(net, subject, rounds=3)
    begun = [number for number, event in enumerate(sums.events) if event.startswith("sum")]
    assert len(begun) == LAYERS // 2 and begun[0] > 2 * LAYERS
    assert equal(ours, plain(net, rounds=3))


@pytest.mark.parametrize(("first", "then"), [(LAYERS, 5), (5, LAYERS)])
def test_parameters_without_a_gradient_hold_nothing_up(sums: Sums, first: int, then: int) -> None:
    """Those that the first update didn't train, and those that a later one doesn't."""
    net, subject = layers(sums)
    update(net, subject, used=first)
    for used in (then, first):
        assert equal(update(net, subject, used=used), plain(net, used=used))
        assert sums.on_their_way == 0


def test_infinite_gradients_pass_as_they_are(sums: Sums) -> None:
    """The trainer replaces them after the sum, as it does without overlap."""
    net, subject = layers(sums)
    update(net, subject)
    with torch.no_grad():
        next(iter(net[0].parameters()))[0, 0] = float("inf")
    gradients = update(net, subject)
    assert any(not torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert all(gradient is not None for gradient in gradients) and sums.on_their_way == 0

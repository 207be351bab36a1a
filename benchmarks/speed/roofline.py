"""The share of a matrix rate that a step reaches: counted FLOPs over what large products are measured at."""

from __future__ import annotations

from typing import Any

SECONDS = 3.0  # of products


def measured(side: Any, precision: str, device: str, rounds: int) -> dict[str, Any]:
    """The FLOPs are those of the straightforward step: its passes are what the mathematics asks for."""
    from benchmarks.devices_measured import SIDES, TYPES, rate

    kind = "cpu" if device == "cpu" else "cuda"
    found = rate(kind, TYPES[precision], SIDES[kind], SECONDS)
    return {"flops": counted(side, rounds), "matrix rate": found, "matrix type": precision}


def counted(side: Any, rounds: int) -> float:
    """Of one round (each player had its turn) for the whole batch, the mean over the timed ones; no text encoders.

    A chain is cut at another step in each iteration. Counted are chains of one and of two steps: the cost is linear.
    """
    from benchmarks.speed.cases import last_step

    period, steps = side.case.told.ratio, side.case.told.steps
    short = _iterations(side, 0)
    longer = _iterations(side, 1) if steps > 1 else short
    timed = range(period, period * (rounds + 1))  # the first round warms up
    total = 0.0
    for number in timed:
        one, two = short[number % period], longer[number % period]
        total += one + (two - one) * last_step(number, steps)
    return total / rounds * side.batch


def _iterations(side: Any, last: int) -> list[float]:
    """FLOPs of the iterations of a round on one sample, on tensors without memory."""
    from torch.utils.flop_counter import FlopCounterMode

    loop = side.hollow()
    loop.learners = {net: _Still(net) for net in loop.learners}
    loop.last_step = lambda steps: last
    found = []
    for _ in range(side.case.told.ratio):
        with FlopCounterMode(display=False) as counter:
            loop.iterate()
        found.append(float(counter.get_total_flops()))
    return found


class _Still:
    """An optimiser that moves nothing and remembers nothing: it multiplies no matrices."""

    def __init__(self, net: Any):
        self.net = net

    def zero_grad(self, set_to_none: bool) -> None:
        for parameter in self.net.parameters():
            parameter.grad = None

    def step(self) -> None: ...

"""The share of a matrix rate that a step reaches: counted FLOPs over what large products are measured at."""

from __future__ import annotations

from typing import Any

SECONDS = 3.0  # of products


def measured(side: Any, precision: str, device: str) -> dict[str, Any]:
    """The FLOPs are those of the straightforward step: its passes are what the mathematics asks for."""
    from benchmarks.devices_measured import SIDES, TYPES, rate

    kind = "cpu" if device == "cpu" else "cuda"
    found = rate(kind, TYPES[precision], SIDES[kind], SECONDS)
    return {"flops": counted(side), "matrix rate": found, "matrix type": precision}


def counted(side: Any) -> float:
    """Of one round (each player had its turn) for the whole batch, counted on one sample; text encoders left out."""
    from torch.utils.flop_counter import FlopCounterMode

    loop = side.straightforward()
    batch, loop.batch = loop.batch, 1
    loop.learners = {net: _Still() for net in loop.learners}
    if side.text is not None:
        condition = side.text.condition(1)
        loop.encode = lambda count: condition
    with FlopCounterMode(display=False) as counter:
        for _ in range(side.case.told.ratio):
            loop.iterate()
    return float(counter.get_total_flops() * batch)


class _Still:
    """An optimiser that moves nothing and remembers nothing: it would double the memory, and multiplies no matrices."""

    def zero_grad(self, set_to_none: bool) -> None: ...

    def step(self) -> None: ...

"""The share of a matrix rate that a step reaches: counted FLOPs over what large products are measured at.

FLOPs are counted beforehand, which takes minutes of a processor and no device: `python -m benchmarks.speed.roofline`
writes them into records/step-flops.json, and every measurement reads them there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import command, installed

RECORD = Path(__file__).parent / "records" / "step-flops.json"
SECONDS = 3.0  # of products
Counts = Mapping[str, Sequence[float]]  # chains of one step and of two -> FLOPs of each iteration of a round, a sample


def measured(side: Any, precision: str, device: str) -> dict[str, Any]:
    """The rate of large products in the type that the step computes in."""
    from benchmarks.estimate.devices import SIDES, TYPES, rate

    kind = "cpu" if device == "cpu" else "cuda"
    size, seconds = (128, 0.1) if side.tiny else (SIDES[kind], SECONDS)
    return {"matrix rate": rate(kind, TYPES[precision], size, seconds), "matrix type": precision}


def recorded(case: str, record: Path = RECORD) -> Counts | None:
    """A case's FLOPs as they were counted; None where it was not."""
    return json.loads(record.read_text())["cases"].get(case) if record.is_file() else None


def of_rounds(counts: Counts, told: Any, rounds: int, batch: int) -> float:
    """Of one round (each player had its turn) for the whole batch, the mean over the timed ones; no text encoders.

    A chain is cut at another step in each iteration. Counted are chains of one and of two steps: the cost is linear.
    `told` are the settings of the straightforward step, whose passes are what the mathematics asks for.
    """
    from benchmarks.speed.cases import last_step

    total = 0.0
    for number in range(told.ratio, told.ratio * (rounds + 1)):  # the first round warms up
        short, longer = (counts[name][number % told.ratio] for name in ("short", "longer"))
        total += short + (longer - short) * last_step(number, told.steps)
    return total / rounds * batch


def counted(side: Any) -> dict[str, list[float]]:
    """Of the iterations of a round on one sample, on tensors without memory."""
    short = _iterations(side, 0)
    return {"short": short, "longer": _iterations(side, 1) if side.case.told.steps > 1 else short}


def _iterations(side: Any, last: int) -> list[float]:
    from torch.utils.flop_counter import FlopCounterMode

    loop = side.hollow()
    loop.learners = {net: _Still(net) for net in loop.learners}
    loop.last_step = lambda steps: last
    flops = []
    for _ in range(side.case.told.ratio):
        with FlopCounterMode(display=False) as counter:
            loop.iterate()
        flops.append(float(counter.get_total_flops()))
    return flops


class _Still:
    """An optimiser that moves nothing and remembers nothing: it multiplies no matrices."""

    def __init__(self, net: Any):
        self.net = net

    def zero_grad(self, set_to_none: bool) -> None:
        for parameter in self.net.parameters():
            parameter.grad = None

    def step(self) -> None: ...


def main() -> int:
    from benchmarks.speed.cases import CASES, Side
    from sid import atomic

    record: dict[str, Any] = {
        "command": command("benchmarks.speed.roofline"),
        "versions": {name: installed(name) for name in ("torch", "diffusers", "transformers")},
        "counted": "matrix products and convolutions of the straightforward step, two FLOPs a multiply-add, one sample;"
        " every iteration of a round, with chains of one step and of two",
        "cases": {},
    }
    for name, case in CASES.items():
        record["cases"][name] = counted(Side(case, None, tiny=False, device="meta"))
        print(name, record["cases"][name], flush=True)
    atomic.write_json(RECORD, record)
    print(RECORD)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The loop never asks the device for a number: a GPU would have to finish all its work before every answer."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.suite.components import methods
from sid.loop.trainer import _Run
from tests import toy

# What makes a CUDA device wait: a number read back, or a result whose size depends on values.
READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive", "is_nonzero", "equal")
ASKED = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__")


class Counting(TorchDispatchMode):
    """Counts the reads, by the line of ours that made them."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name == "index" and any(part is not None and part.dtype == torch.bool for part in args[1])
        if name in READS or masked:
            self.counts[f"{name} at {place()}"] += 1
        return func(*args, **(kwargs or {}))


def place() -> str:
    ours = [
        frame for frame in traceback.extract_stack() if "/sid/" in frame.filename and "/tests/" not in frame.filename
    ]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "the test"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The tensor methods that answer in Python, counted; on the CPU some of them reach no operator."""
    counts: Counter[str] = Counter()

    def counted(name: str, original: Callable) -> Callable:
        def method(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
            counts[f"{name} at {place()}"] += 1
            return original(tensor, *args, **kwargs)

        return method

    for name in ASKED:
        monkeypatch.setattr(Tensor, name, counted(name, getattr(Tensor, name)))
    return counts


@pytest.mark.parametrize("name", sorted(methods()))
def test_three_iterations_read_nothing_back(
    name: str, asked: Counter[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of every method, averages and optimisers included; the log's interval is beyond the three."""
    reads, iterations = Counting(), []
    original = _Run.iterate

    def iterate(run: Any, *args: Any) -> None:
        if run.state.counters.iteration == 0:  # optimisers are set up
            return original(run, *args)
        before = asked.copy()
        with reads:
            original(run, *args)
        iterations.append(asked - before)
        return None

    monkeypatch.setattr(_Run, "iterate", iterate)
    method = methods()[name]
    toy.distil(method, method.options("toy", "digits"), tmp_path, images=4 * 8, micro_batch=4, log_images=10**9)
    assert len(iterations) == 3
    assert not reads.counts and not any(iterations), (reads.counts, iterations)


def test_a_read_is_seen(asked: Counter[str]) -> None:
    with Counting() as reads:
        assert bool(torch.ones(1)) and torch.ones(1).item() == 1 and torch.ones(3)[torch.ones(3) > 0].sum() == 3
    assert asked["__bool__ at the test"] >= 1 and asked["item at the test"] == 1
    assert reads.counts["index at the test"] == 1 and reads.counts["_local_scalar_dense at the test"] >= 2

"""The machine of a record: its facts, clocks and threads, the rate of its matrix products, the kernels it ran."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.hardware import cores, device_name

PACKAGES = ("torch", "numpy", "scipy", "clean-fid", "torch-fidelity", "torchmetrics")
PATH_OPTIONS = ("--record", "--shared", "--other")
RATE_SECONDS = 3.0  # for which the rate of matrix products is measured
NAMED_KERNELS = 16  # kinds of kernels that a profile names

Clock = dict[str, float]  # "wall" and "cpu": seconds of the wall and of the processor


def facts(threads: int) -> dict[str, Any]:
    """Device, date, versions, threads and how busy the machine is before anything is measured."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": f"{device_name()}, {cores()} cores",
        "threads": threads,
        "load_before": os.getloadavg(),
        "versions": {name: installed(name) for name in PACKAGES} | _cuda(),
    }


def installed(package: str) -> str | None:
    """A package's version; None where it is missing: a record can be made without the peers."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def command(module: str, words: Sequence[str] | None = None) -> str:
    """The command that makes a record, without the options that take a path."""
    remaining = iter(sys.argv[1:] if words is None else words)
    shown = []
    for word in remaining:
        if word in PATH_OPTIONS:
            next(remaining, None)
        else:
            shown.append(word)
    return " ".join(["python -m", module, *shown])


def _cuda() -> dict[str, str]:
    import torch

    return {"cuda": str(torch.version.cuda)} if torch.cuda.is_available() else {}


def limited_to(threads: int) -> dict[str, str]:
    """The environment in which numpy's and torch's libraries use that many threads; they read it when loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def timed(run: Callable[[], Any]) -> Clock:
    """Seconds of one call that ends with its result on the host."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}


def medians(clocks: Sequence[Clock]) -> Clock:
    """The median of each kind of seconds."""
    return {name: statistics.median(clock[name] for clock in clocks) for name in ("wall", "cpu")}


def matrix_rate(precision: str, device: str, tiny: bool) -> dict[str, Any]:
    """The measured rate of large matrix products in that precision; of small ones for a rehearsal."""
    from benchmarks.estimate.devices import SIDES, TYPES, rate

    kind = "cpu" if device == "cpu" else "cuda"
    side, seconds = (128, 0.1) if tiny else (SIDES[kind], RATE_SECONDS)
    return {"matrix rate": rate(kind, TYPES[precision], side, seconds), "matrix type": precision}


class Kernels:
    """Profiles from its construction to `stopped`: how many kernels ran, how long the device was busy, the largest.

    On a CPU torch's operators stand for kernels.
    """

    def __init__(self, device: str):
        from torch.profiler import ProfilerActivity, profile

        self.on_host = device == "cpu"
        self.profiler = profile(activities=[ProfilerActivity.CPU if self.on_host else ProfilerActivity.CUDA])
        self.profiler.__enter__()

    def stopped(self) -> dict[str, Any]:
        """Milliseconds in all and by kind of kernel. Streams are added up: busy may exceed the wall's time."""
        import torch

        self.profiler.__exit__(None, None, None)
        events = [
            event
            for event in self.profiler.key_averages()
            if (event.device_type == torch.autograd.DeviceType.CPU) == self.on_host
        ]
        events.sort(key=self._microseconds, reverse=True)
        return {
            "busy ms": sum(map(self._microseconds, events)) / 1e3,
            "kernels": sum(event.count for event in events),
            "most": [
                {"kernel": event.key[:80], "count": event.count, "ms": round(self._microseconds(event) / 1e3, 3)}
                for event in events[:NAMED_KERNELS]
            ],
        }

    def _microseconds(self, event: Any) -> float:
        return float(event.self_cpu_time_total if self.on_host else event.self_device_time_total)

"""A device's matrix rate, measured: products of square matrices until enough time has passed. Needs torch."""

from __future__ import annotations

import statistics
import time
from importlib.metadata import version
from typing import Any

import torch

from benchmarks.estimate.devices import CPU
from benchmarks.precision import full_precision
from benchmarks.run.record import device_name
from sid.fault import Fault

SIDES = {CPU: 1024, "cuda": 8192}
SECONDS = 10.0  # of each precision
LEAST, MOST = 3, 200  # products that are timed
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure(device: str | None = None, side: int | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """The rates in float32 (no TF32) and bfloat16, with what they were measured on."""
    device = device or ("cuda" if torch.cuda.is_available() else CPU)
    if device not in SIDES:
        raise Fault(f"the device must be one of {', '.join(SIDES)} (got '{device}')")
    if device == "cuda" and not torch.cuda.is_available():
        raise Fault("torch finds no GPU here: calibrate with --device cpu, or plan with --gpu and a name")
    side = side or SIDES[device]
    memory = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else None
    with full_precision():
        rates = {kind: rate(device, dtype, side, seconds) for kind, dtype in TYPES.items()}
    return {
        "command": f"sidbench calibrate --device {device} --size {side}",
        "device": device_name() if device == "cuda" else _processor(),
        "threads": torch.get_num_threads() if device == CPU else None,
        "memory_bytes": memory,
        "rates": rates,
        "side": side,
        "versions": {"torch": version("torch"), "cuda": torch.version.cuda},
    }


def rate(device: str, dtype: torch.dtype, side: int, seconds: float) -> float:
    """FLOPs a second of one product, the median of some: the first one warms up and is not counted."""
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    _timed(device, one, other)
    taken: list[float] = []
    while len(taken) < LEAST or (sum(taken) < seconds and len(taken) < MOST):
        taken.append(_timed(device, one, other))
    return 2 * side**3 / statistics.median(taken)


def _timed(device: str, one: torch.Tensor, other: torch.Tensor) -> float:
    begin = _now(device)
    one @ other
    return _now(device) - begin


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _processor() -> str:
    return f"{device_name()} (CPU)" if not torch.cuda.is_available() else "CPU"

"""The rate at which a device multiplies matrices: measured by `sidbench calibrate`, or from the table of data sheets.

The table holds the vendors' peak rates of dense matrix products, without sparsity. Only `measure` and `rate` import
torch.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks.features.base import full_precision
from benchmarks.hardware import device_name
from benchmarks.suite.job import SHARED
from sid.discovery import UnknownName
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import torch


ROOT = Path(__file__).parents[2]
TERA = 1e12
DEFAULT = "h100"
CPU = "cpu"  # the miniatures' device in a calibration
# Assumptions, not measurements: the share of a printed peak, and of a measured rate of large products, that a network
# reaches. Norms, activations, optimisers and small layers take the rest.
OF_PEAK = {"bf16": 0.35, "tf32": 0.35, "fp32": 0.55}
OF_MEASURED = 0.5  # where no step was timed
# The step that `sidbench calibrate` times on a GPU, with the settings of each precision; it fits into 16 GB.
STEP = ("sid-ddpmpp-32", "--side", "ours", "--rounds", "3", "--micro", "32")
STEP_SETTINGS = {
    "fp32": ("precision=fp32", "channels_last=true"),
    "bf16": ("precision=bf16", "channels_last=true", "first_moment=false"),
}
# A measurement
SIDES = {CPU: 1024, "cuda": 8192}  # of the matrices
SECONDS = 10.0  # for each precision
LEAST_PRODUCTS, MOST_PRODUCTS = 3, 200  # that are timed
TYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Gpu:
    """Peak rates in TFLOP/s and memory in GB, as printed in its data sheet."""

    title: str
    fp32: float  # outside the matrix units
    tf32: float
    bf16: float  # summed in float32
    memory: int


GPUS: Mapping[str, Gpu] = {
    "a40": Gpu("NVIDIA A40", 37.4, 74.8, 149.7, 48),
    "a6000": Gpu("NVIDIA RTX A6000", 38.7, 77.4, 154.8, 48),
    "a100": Gpu("NVIDIA A100 SXM 80 GB", 19.5, 156.0, 312.0, 80),
    "a100-40": Gpu("NVIDIA A100 SXM 40 GB", 19.5, 156.0, 312.0, 40),
    "h100": Gpu("NVIDIA H100 SXM", 67.0, 494.7, 989.4, 80),
    "h100-pcie": Gpu("NVIDIA H100 PCIe", 51.2, 378.2, 756.5, 80),
    "h200": Gpu("NVIDIA H200 SXM", 67.0, 494.7, 989.4, 141),
    "l4": Gpu("NVIDIA L4", 30.3, 60.0, 121.0, 24),
    "l40s": Gpu("NVIDIA L40S", 91.6, 183.0, 362.0, 48),
    "rtx3090": Gpu("NVIDIA GeForce RTX 3090", 35.6, 35.6, 71.2, 24),
    "rtx4090": Gpu("NVIDIA GeForce RTX 4090", 82.6, 82.6, 165.2, 24),
}


@dataclass(frozen=True)
class Device:
    """The rates and the memory from which an estimate follows."""

    name: str
    rates: Mapping[str, float]  # precision -> FLOPs a second that a network is assumed to reach
    memory: float | None  # bytes; None if not known
    origin: str  # where the rates come from and what is assumed, in a sentence

    def hours(self, flops: float, precision: str) -> float:
        return flops / self.rates["bf16" if precision == "fp16" else precision] / 3600  # matrix units take both alike


def tabulated(name: str) -> Device:
    """A GPU of the table; a Fault with the nearest name if there is none."""
    if name not in GPUS:
        raise UnknownName("GPU", name, GPUS)
    gpu = GPUS[name]
    rates = {kind: OF_PEAK[kind] * getattr(gpu, kind) * TERA for kind in ("fp32", "bf16")}
    assumed = " and ".join(f"{OF_PEAK[kind]:.0%} of {getattr(gpu, kind):g} TFLOP/s in {kind}" for kind in rates)
    origin = f"the table's {gpu.title}: {assumed} are assumed to be reached (peak rates of the data sheet)"
    return Device(gpu.title, rates, gpu.memory * 1e9, origin)


def calibration_file(results: str) -> Path:
    return Path(results) / SHARED / "calibration.json"


def calibrated(results: str) -> Device | None:
    """The user's own device if it was measured; a Fault if the file is no calibration."""
    path = calibration_file(results)
    if not path.is_file():
        return None
    try:
        calibration: dict[str, Any] = parsed(path.read_text(encoding="utf-8"))
        measured = {kind: float(calibration["rates"][kind]) for kind in TYPES}
        shares = {kind: float(calibration.get("shares", {}).get(kind, OF_MEASURED)) for kind in TYPES}
        name, memory = str(calibration["device"]), calibration["memory_bytes"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Fault(f"{path} is no calibration: `sidbench calibrate` writes it anew") from None
    if min(*measured.values(), *shares.values()) <= 0:
        raise Fault(f"{path} has a rate that is not above 0: `sidbench calibrate` writes it anew")
    rates = {kind: shares[kind] * rate for kind, rate in measured.items()}
    shown = ", ".join(f"{rate / TERA:.3g} TFLOP/s in {kind}" for kind, rate in measured.items())
    origin = f"measured by `sidbench calibrate` on {name}: {shown}; "
    if "shares" in calibration:
        reached = " and ".join(f"{share:.0%} in {kind}" for kind, share in shares.items())
        origin += f"a training step of SiD on DDPM++ reached {reached}, which is taken for all networks"
    else:
        origin += f"{OF_MEASURED:.0%} of it is assumed for networks"
    return Device(name, rates, memory, origin)


def chosen(gpu: str | None, results: str) -> Device:
    """The named GPU, else the calibrated device, else the table's default."""
    return tabulated(gpu) if gpu else calibrated(results) or tabulated(DEFAULT)


def measure(device: str | None = None, side: int | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """The rates in float32 (no TF32) and bfloat16, with the device and versions they were measured on.

    Args:
        device: "cpu" or "cuda"; by default the GPU if there is one.
        side: Of the matrices; by default that of the device in SIDES.
        seconds: For each precision.
    """
    import torch

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


def reached(device: str) -> dict[str, float]:
    """The share of the matrix rate that a real training step reaches in each precision, in about a minute of a GPU."""
    with TemporaryDirectory() as folder:
        return {kind: _reached(device, words, Path(folder) / f"{kind}.json") for kind, words in STEP_SETTINGS.items()}


def _reached(device: str, settings: Sequence[str], record: Path) -> float:
    engine = [part for word in settings for part in ("--engine", word)]
    words = [
        sys.executable,
        "-m",
        "benchmarks.speed.steps",
        *STEP,
        "--device",
        device,
        *engine,
        "--record",
        str(record),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    share = parsed(record.read_text()).get("share of the matrix rate") if record.is_file() else None
    if done.returncode or not share:
        said = (done.stderr.strip().splitlines() or ["it wrote no share"])[-1]
        raise Fault(f"the training step could not be timed ({said}): calibrate with --no-step measures products alone")
    return float(share)


def rate(device: str, dtype: str, side: int, seconds: float) -> float:
    """FLOPs a second of matrix products, by the median time of several; the first one is a warm-up.

    Args:
        device: "cpu" or "cuda".
        dtype: torch's name of the type of the factors.
        side: Of the square factors.
        seconds: After which no further product is timed.
    """
    import torch

    left, right = (torch.randn(side, side, device=device).to(getattr(torch, dtype)) for _ in range(2))
    _timed(device, left, right)
    times: list[float] = []
    while len(times) < LEAST_PRODUCTS or (sum(times) < seconds and len(times) < MOST_PRODUCTS):
        times.append(_timed(device, left, right))
    return 2 * side**3 / statistics.median(times)


def _timed(device: str, left: torch.Tensor, right: torch.Tensor) -> float:
    begin = _now(device)
    left @ right
    return _now(device) - begin


def _now(device: str) -> float:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _processor() -> str:
    import torch

    return f"{device_name()} (CPU)" if not torch.cuda.is_available() else "CPU"

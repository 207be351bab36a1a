"""This machine: the accelerator that a process computes on, its name, and the cores that it may use."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path

from sid.fault import Fault


def default_device() -> str:
    """The GPU of this process's LOCAL_RANK, or the CPU if there is none."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def chosen_device(name: str) -> str:
    """The device of a --device option: `auto` is `default_device`; a Fault where torch does not have it here."""
    import torch

    if name == "auto":
        return default_device()
    try:
        torch.zeros(1, device=name).item()
    except Exception as error:  # torch raises many kinds, from an unknown word to a missing driver
        why = str(error).splitlines()[0][:160]
        if why.startswith("Expected one of"):  # and then torch's whole list
            why = "devices are called auto, cpu, cuda, cuda:0"
        raise Fault(f"there is no device '{name}' here: {why}") from None
    return default_device() if name == "cuda" else name


def cores() -> int:
    """The cores that this process may use; all of them where the system keeps no such list (macOS)."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


SMALLEST_BATCH, LARGEST_BATCH = 32, 512  # images at a time
OF_AN_IMAGE = 128 * 2**20  # bytes of a GPU's free memory, with all networks of a pass: this project's choice


def extraction_batch(device: str) -> int:
    """How many images feature networks read at a time: 32, and on a GPU as many more as its free memory allows."""
    if not device.startswith("cuda"):
        return SMALLEST_BATCH
    import torch

    free = torch.cuda.mem_get_info(device)[0]
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, free // OF_AN_IMAGE))


@lru_cache
def device_name() -> str:
    """The GPU's model, or the processor's."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

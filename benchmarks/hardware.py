"""The accelerator that this process computes on, and its name."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path


def default_device() -> str:
    """The GPU of this process's LOCAL_RANK, or the CPU if there is none."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


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

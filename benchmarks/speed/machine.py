"""What a record of a speed says of the machine, and how many threads the libraries may take."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Any

from benchmarks.record import device_name

PACKAGES = ("torch", "numpy", "scipy", "clean-fid", "torch-fidelity", "torchmetrics")


def facts(threads: int) -> dict[str, Any]:
    """Device, versions, threads and how busy the machine is before anything is measured."""
    return {
        "device": f"{device_name()}, {len(os.sched_getaffinity(0))} cores",
        "threads": threads,
        "load_before": os.getloadavg(),
        "versions": {name: version(name) for name in PACKAGES} | _cuda(),
    }


def _cuda() -> dict[str, str]:
    import torch

    return {"cuda": str(torch.version.cuda)} if torch.cuda.is_available() else {}


def limited_to(threads: int) -> dict[str, str]:
    """The environment in which numpy's and torch's libraries take that many threads; they read it when loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}

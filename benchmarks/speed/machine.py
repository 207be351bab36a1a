"""What a record of a speed says of the machine, and how many threads the libraries may take."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.hardware import device_name

PACKAGES = ("torch", "numpy", "scipy", "clean-fid", "torch-fidelity", "torchmetrics")
PLACES = ("--record", "--shared", "--other")  # options that take a path


def facts(threads: int) -> dict[str, Any]:
    """Device, date, versions, threads and how busy the machine is before anything is measured."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "device": f"{device_name()}, {len(os.sched_getaffinity(0))} cores",
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
    """The command that makes a record, without places of files: they are the reader's own matter."""
    rest = iter(sys.argv[1:] if words is None else words)
    shown = []
    for word in rest:
        if word in PLACES:
            next(rest, None)
        else:
            shown.append(word)
    return " ".join(["python -m", module, *shown])


def _cuda() -> dict[str, str]:
    import torch

    return {"cuda": str(torch.version.cuda)} if torch.cuda.is_available() else {}


def limited_to(threads: int) -> dict[str, str]:
    """The environment in which numpy's and torch's libraries take that many threads; they read it when loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}

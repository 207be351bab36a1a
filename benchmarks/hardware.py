"""How a working process starts and leaves: threads, missing inputs, signals."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sid.fault import Fault

if TYPE_CHECKING:
    from benchmarks.suite.job import Job


def here() -> str:
    """This process's accelerator, or the CPU."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"


def require(job: Job) -> None:
    """Every input must be there: the sentence names the file and the command that makes all of them."""
    missing = [path for path in job.inputs if not Path(path).exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise Fault(f"{missing[0]} is missing{more}; `sidbench reproduce` makes everything in order")


@contextlib.contextmanager
def leaving_cleanly() -> Iterator[None]:
    """OMP_NUM_THREADS is obeyed; a run that was asked to stop leaves with its signal's status, without a traceback."""
    import torch

    from sid.loop.lock import Stopped

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        yield
    except Stopped as stopped:
        raise SystemExit(stopped.code) from None

"""The process that started this one: when it is gone, this one leaves too. Imports nothing that takes time.

A workflow hands its process id to its jobs. The kernel then signals a job at its parent's death; where it can't, a
thread looks every second. A run started by hand has no such parent: it outlives its shell, as users of nohup expect.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

WATCH = "SIDBENCH_WATCH_PARENT"  # the process id of the parent, or 1: whoever starts this process
PR_SET_PDEATHSIG = 1  # of prctl(2); it outlasts an exec
LOOK_SECONDS = 1.0


def watched() -> int | None:
    """The process id of the parent whose death ends this process; None if there is none."""
    given = os.environ.get(WATCH, "")
    if not given.isdigit():
        return None
    return int(given) if int(given) > 1 else os.getppid()


def follow() -> None:
    """Called at the very start of a job, before anything heavy is imported: ties it to the workflow's process."""
    parent = watched()
    if parent is not None:
        tie(parent, signal.SIGTERM)


def tie(parent: int, number: signal.Signals) -> None:
    """From now on the death of `parent` sends this process the signal; if it is dead already, at once."""
    if not _asked_of_the_kernel(number):
        threading.Thread(target=_look, args=(parent, number), name="parent", daemon=True).start()
    if os.getppid() != parent:
        signal.raise_signal(number)


def _asked_of_the_kernel(number: signal.Signals) -> bool:
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError, AttributeError):
        return ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number)) == 0
    return False


def _look(parent: int, number: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), number)

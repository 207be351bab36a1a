"""The lock on a training's folder, and the signals on which a training saves its state and leaves."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import IO

from sid import atomic
from sid.fault import Fault, report
from sid.loop import parent

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # of a file system that keeps none
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class TrainingStopped(Exception):
    """A training saved its state and left; `code` is the exit status."""

    def __init__(self, reason: str, code: int):
        super().__init__(reason)
        self.code = code


def take(file: IO[str], patience: float = 0.0) -> bool:
    """Locks an open file until it is closed; False where another process has it for longer than `patience` seconds.

    A file system without locks (some network folders) gives none: that is reported once, and the work goes on.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _report_no_locks(Path(file.name).parent)
            return True


@lru_cache
def _report_no_locks(folder: Path) -> None:
    report(f"the file system of {folder} has no locks: start no second run there")


@contextlib.contextmanager
def locked(path: Path, patience: float = 60.0) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the kernel frees it even after kill -9.

    Waits up to `patience` seconds (a killed training may still be dying), then raises a Fault that names the holder.
    """
    with atomic.writable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+")  # noqa: SIM115 - closed below
    with file:
        if not take(file, patience):
            file.seek(0)
            raise Fault(f"{path.parent} is in use by {file.read().strip() or 'another process'}")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
        yield


class Watch:
    """Watches for a reason to stop: a signal, or the death of the workflow that started this process.

    A workflow hands over its process id (`sid.loop.parent`); a run started by hand outlives its shell.
    """

    def __init__(self) -> None:
        self.parent = parent.watched()
        self.signal: int | None = None

    def reason(self) -> TrainingStopped | None:
        """The reason to stop, or None."""
        if self.signal is not None:
            return TrainingStopped(f"stopped by {signal.Signals(self.signal).name}", 128 + self.signal)
        if self.parent is not None and os.getppid() != self.parent:
            return TrainingStopped("stopped: the process that started this one is gone", 1)
        return None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """A Watch with its signal handlers installed; the old ones are restored at the end."""
    watch = Watch()
    old = {number: signal.signal(number, watch._note) for number in SIGNALS}
    try:
        yield watch
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)

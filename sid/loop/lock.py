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
from pathlib import Path
from types import FrameType

from sid import atomic
from sid.fault import Fault, report
from sid.loop import claim, parent

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}  # of a file system that keeps none
LOOK_SECONDS = 0.2
SIGNING_SECONDS = 5.0  # who has a lock writes down at once that it does
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class TrainingStopped(Exception):
    """A training saved its state and left; `code` is the exit status."""

    def __init__(self, reason: str, code: int):
        super().__init__(reason)
        self.code = code


class Lock:
    """A lock file, which one process has until `close`: the kernel frees it even after kill -9.

    Where the file system keeps no locks (some network folders), a claim beside it stands for one (`sid.loop.claim`).

    Args:
        path: Of the file. It says who has the lock, and stays when nobody does.
    """

    def __init__(self, path: Path):
        self.path = path
        with atomic.writable(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+")  # noqa: SIM115 - closed by `close`
        self._claimed = False

    def take(self, patience: float = 0.0) -> bool:
        """Whether this process has the lock now, after waiting up to `patience` seconds for another one."""
        deadline = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        self._claimed = claim.claim(self.path)
        return self._claimed

    def wait(self, purpose: str, patience: float | None = None) -> None:
        """Takes the lock, however long it takes, and says once for whom it waits.

        Args:
            purpose: What is waited for: "waiting for process 7 on node-1 since ..., `purpose`".
            patience: Seconds before it is said.
        """
        if self.take(patience or 0.0):
            return
        deadline = time.monotonic() + SIGNING_SECONDS
        while not (holder := self.holder()) and time.monotonic() < deadline:
            if self.take(LOOK_SECONDS):
                return
        report(f"waiting for {holder or 'another process'}, {purpose}{claim.elsewhere(self.path)}")
        while not self.take(60.0):
            pass

    def holder(self) -> str:
        """Who has the lock, in words; empty where nobody has said so yet."""
        self._file.seek(0)
        return self._file.read().strip()

    def sign(self, doing: str = "") -> None:
        """Writes down that this process has the lock, and what it does."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        self.write(f"process {os.getpid()} on {socket.gethostname()} since {since}" + (f" ({doing})" if doing else ""))

    def write(self, text: str) -> None:
        """Writes down who has the lock."""
        self._file.truncate(0)
        self._file.write(f"{text}\n")
        self._file.flush()

    def outlast_exec(self) -> None:
        """The program that replaces this process has the lock, too."""
        os.set_inheritable(self._file.fileno(), True)

    def close(self) -> None:
        """Frees the lock."""
        if self._claimed:
            claim.release(self.path)
        self._file.close()


@contextlib.contextmanager
def locked(path: Path, patience: float = 60.0) -> Iterator[None]:
    """Holds an exclusive lock on `path`.

    Waits up to `patience` seconds (a killed training may still be dying), then raises a Fault that names the holder.
    """
    lock = Lock(path)
    with contextlib.closing(lock):
        if not lock.take(patience):
            raise Fault(f"{path.parent} is in use by {lock.holder() or 'another process'}{claim.elsewhere(path)}")
        lock.sign()
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

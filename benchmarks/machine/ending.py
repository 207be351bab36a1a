"""How a workflow ends before its time: one request to leave reaches every job, and nothing outlives its starter.

`sidbench reproduce` passes any request to end (Ctrl-C, SIGTERM, SIGHUP) to Snakemake as SIGHUP. In Snakemake, `obey`
then asks its jobs to leave, which save their state, and takes no new ones. If `reproduce` is killed, the kernel sends
that signal; if Snakemake is killed, the kernel ends its jobs (`sid.loop.parent`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from sid.loop import parent

if TYPE_CHECKING:
    import psutil


STARTER = "SIDBENCH_REPRODUCE"  # for Snakemake: the process id of the `sidbench reproduce` that starts it
LEAVE = signal.SIGHUP
AGAIN_SECONDS = 0.3  # a job may be starting while the others are asked to leave
RAISED_AGAIN_SECONDS = 0.3  # after an exception that Python dropped


class Stopped(Exception):
    """This process was asked to end, by the signal `number`."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """In the body, SIGINT, SIGTERM and SIGHUP raise `Stopped`, however the process was started.

    A shell starts background commands with SIGINT ignored, and a signal to this process alone counts all the same.
    What nohup asks for stays: then SIGHUP is ignored. Python drops what is raised while it forks or collects garbage:
    then it is raised again a moment later.
    """
    requests: list[int] = []
    unraisable = sys.unraisablehook

    def stop(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # one request is enough, and the end takes its time
        requests.append(number)
        raise Stopped(number)

    def repeat(number: int, frame: FrameType | None) -> None:
        raise Stopped(requests[0])

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if isinstance(what.exc_value, Stopped):
            signal.signal(signal.SIGALRM, repeat)
            signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_SECONDS)
        else:
            unraisable(what)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, stop)
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = unraisable
        for number, handler in before.items():
            signal.signal(number, handler)


def obey() -> None:
    """In Snakemake, before its first job: at SIGHUP it leaves with all its jobs; also when its starter is gone."""
    if threading.current_thread() is not threading.main_thread():
        return  # used as a library: its owner decides
    starter = os.environ.pop(STARTER, "")
    if starter or signal.getsignal(LEAVE) != signal.SIG_IGN:
        signal.signal(LEAVE, _leave)
    if starter.isdigit():
        parent.tie(int(starter), LEAVE)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(LEAVE, signal.SIG_IGN)
    threading.Thread(target=_end_jobs, name="ending", daemon=True).start()
    raise KeyboardInterrupt  # Snakemake then cancels what runs on a cluster, waits for the rest and unlocks the folder


def _end_jobs() -> None:
    """Asks every process below this one to leave, once each; also those that begin meanwhile."""
    import psutil

    asked: set[tuple[int, float]] = set()
    while True:
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if (key := (process.pid, process.create_time())) not in asked:
                        process.terminate()
                        asked.add(key)
        time.sleep(AGAIN_SECONDS)


def leaving_snakemake() -> int | None:
    """The process id of a Snakemake of this folder whose starter is gone: it is about to leave."""
    import psutil

    for process in working():
        with contextlib.suppress(psutil.Error, OSError):
            starter = process.environ().get(STARTER, "")
            if starter.isdigit() and process.ppid() != int(starter):
                return int(process.pid)
    return None


def working() -> Iterator[psutil.Process]:
    """The Snakemakes that work in this folder."""
    import psutil

    here = os.path.realpath(".")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            called = any(os.path.basename(word) == "snakemake" for word in process.cmdline()[:3])
            if called and process.status() != psutil.STATUS_ZOMBIE and process.cwd() == here:
                yield process

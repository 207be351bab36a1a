"""Steps within a time budget: one is begun only where enough is left, and ended when its time is over."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine.launch import DEATH_SIGNAL
from benchmarks.speed.gpu.plan import Step

POLL = 0.1
GRACE = 5.0  # seconds between asking a step to end and killing it: a trainer saves when it is asked


@dataclass(frozen=True)
class Budget:
    """So many seconds from `begin`, of time.monotonic."""

    seconds: float
    begin: float

    def left(self) -> float:
        """Seconds, less what ending a step may take."""
        return self.seconds - (time.monotonic() - self.begin) - GRACE

    def run(self, step: Step, out: Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """A step's commands beside each other; their exit statuses, or why the step was left out."""
        left = self.left()
        if left < step.needs:
            return {"step": step.name, "skipped": f"{max(left, 0):.0f} s are left and it needs {step.needs}"}
        began = time.monotonic()
        until = began + min(step.most, left)
        every = {**environment, **step.environment}
        running = {name: _started(name, words, out, every) for name, words in step.commands.items()}
        try:
            while time.monotonic() < until and any(process.poll() is None for process in running.values()):
                time.sleep(POLL)
            late = [name for name, process in running.items() if process.poll() is None]
        finally:
            _end(list(running.values()))
        row: dict[str, Any] = {"step": step.name, "status": {name: one.returncode for name, one in running.items()}}
        row["seconds"] = round(time.monotonic() - began, 1)
        return {**row, **({"ended": f"{', '.join(late)}: not done in {until - began:.0f} s"} if late else {})}


def _started(name: str, words: tuple[str, ...], out: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """In a group of its own, so that all that it starts can be ended; it also ends when this process is killed."""
    with open(out / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Asks every process and all that it started to end, then kills what is left of them."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + GRACE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0.0))
    for process in processes:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)

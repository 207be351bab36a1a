"""Snakemake, started from here: with this Python, on this checkout, and never in the way of a killed earlier call."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sid.fault import Fault

SNAKEFILE = Path(__file__).parents[2] / "Snakefile"
LOCKS = Path(".snakemake") / "locks"
OURS = Path(".snakemake") / "reproduce.lock"
PATIENCE = 10.0  # seconds for a killed Snakemake to be gone


def writable(folder: Path) -> None:
    """One sentence where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Fault(f"cannot write into the folder '{folder}': {error.strerror}") from None


def command(suite: str, results: str, flags: Sequence[str] = ()) -> list[str]:
    """The call of Snakemake for a suite."""
    # --config takes every word up to the next option: it stands first, so that a target among the flags is none of its.
    told = ["--config", f"suite={suite}", f"results={results}", "--snakefile", str(SNAKEFILE)]
    return [sys.executable, "-m", "snakemake", *told, *flags]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds this folder's lock, which the kernel frees however this process ends; refuses where another holds it."""
    OURS.parent.mkdir(exist_ok=True)
    with open(OURS, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise Fault(f"`sidbench reproduce` is at work in this folder already (process {holder})") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def unlock(suite: str, results: str) -> None:
    """Takes away what a killed Snakemake has left locked; a living one is named and left alone."""
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return
    until = time.monotonic() + PATIENCE
    while (holder := _living()) is not None:
        if time.monotonic() > until:
            raise Fault(f"Snakemake is at work in this folder already (process {holder})")
        time.sleep(0.2)
    done = subprocess.run([*command(suite, results), "--unlock"], capture_output=True, text=True)
    if done.returncode:
        raise Fault(f"cannot unlock this folder: {done.stderr.strip().splitlines()[-1:]}")


def _living() -> int | None:
    """The process of a Snakemake that works in this folder."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            called = any(Path(word).name == "snakemake" for word in words[:3])
            if called and process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == Path.cwd():
                return int(process.pid)
    return None


class Stopped(Exception):
    """This process was asked to end."""


def run(words: Sequence[str], read: Callable[[str], None]) -> int:
    """Runs Snakemake and hands over its lines. A request to end reaches its jobs, which save their state first."""

    def stop(number: int, frame: object) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    assert child.stdout is not None
    try:
        for line in child.stdout:
            read(line)
        return child.wait()
    except KeyboardInterrupt:
        # The terminal has told Snakemake and its jobs already: they save and leave.
        with contextlib.suppress(KeyboardInterrupt):
            child.communicate()
        raise
    except Stopped:
        return 128 + signal.SIGTERM
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if child.poll() is None:
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    """Asks Snakemake and every job under it to end, and waits for them."""
    import psutil

    with contextlib.suppress(psutil.Error):
        family = psutil.Process(child.pid).children(recursive=True)
        for process in [*family, psutil.Process(child.pid)]:
            with contextlib.suppress(psutil.Error):
                process.terminate()
    child.communicate()

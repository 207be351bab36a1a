"""GPUs by id. Snakemake only counts them: what a job may use is leased here, by lock files that the kernel frees.

A leased GPU is a shared lock on its file, held by every process that uses it: by the one that leased it, and by each
that torchrun starts. Whoever wants a GPU tries for an exclusive lock, so it is free when the last of them has ended,
however it ended. One gate lets newcomers try one at a time: they take all that they need or nothing.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sid.fault import Fault

VISIBLE = "CUDA_VISIBLE_DEVICES"
LEASED = "SIDBENCH_LEASED"  # the ids' lock files, told to the processes that torchrun starts
POLL = 0.5  # seconds between two looks
DEVICES = Path("/dev")
FOLDER = "SIDBENCH_LEASES"  # where the lock files lie, if not in /tmp


def gpus() -> list[str]:
    """The ids that this process may use: those it was given, else the machine's. Needs no torch."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    return sorted((path.name[6:] for path in DEVICES.glob("nvidia[0-9]*") if path.name[6:].isdigit()), key=int)


def folder() -> Path:
    """Where the lock files lie: one place per machine and user. A job of SLURM counts its own GPUs from 0."""
    # Not a login's own folders: another login, or a service without one, must find the same locks.
    shared = Path(os.environ.get(FOLDER, "/tmp"))
    return shared / f"sidbench-gpus-{os.getuid()}" / os.environ.get("SLURM_JOB_ID", "machine")


def lease(count: int, patience: float | None = None) -> list[IO[str]]:
    """Takes so many GPUs for as long as this process lives, waiting until they are free; 0 hides them all.

    The ids are in CUDA_VISIBLE_DEVICES afterwards, and torch must not have been asked for a device before.
    The files are returned for tests: they stay open, also over an exec.
    """
    known = gpus()
    if count > len(known):
        has = f"has {len(known)}" if known else "has none"
        raise Fault(
            f"this job needs {count} GPU{'s' * (count > 1)}, and this machine {has} (CUDA_VISIBLE_DEVICES, /dev)"
        )
    held: dict[str, IO[str]] = {}
    if count:
        held = _wait(known, count, patience)
    os.environ[VISIBLE] = ",".join(held)
    os.environ[LEASED] = os.pathsep.join(file.name for file in held.values())
    _KEPT.extend(held.values())
    return list(held.values())


def keep() -> None:
    """In a process that torchrun started: holds what was leased for it, so that no killed parent frees a GPU in use."""
    for name in filter(None, os.environ.get(LEASED, "").split(os.pathsep)):
        file = open(name)  # noqa: SIM115 - held until this process ends
        fcntl.flock(file, fcntl.LOCK_SH)
        _KEPT.append(file)


_KEPT: list[IO[str]] = []  # closed by the kernel, with the process


def _wait(known: Sequence[str], count: int, patience: float | None) -> dict[str, IO[str]]:
    """Tries until there are enough."""
    folder().mkdir(parents=True, exist_ok=True)
    until = None if patience is None else time.monotonic() + patience
    told = False
    with open(folder() / "gate", "a") as gate:
        while True:
            fcntl.flock(gate, fcntl.LOCK_EX)
            try:
                taken = _take(known, count)
            finally:
                fcntl.flock(gate, fcntl.LOCK_UN)
            if taken:
                return taken
            if until is not None and time.monotonic() > until:
                raise Fault(f"no {count} of the GPUs {', '.join(known)} became free in {patience:.0f} s")
            if not told:
                print(f"waiting for {count} of the GPUs {', '.join(known)}", file=sys.stderr, flush=True)
                told = True
            time.sleep(POLL)


def _take(known: Sequence[str], count: int) -> dict[str, IO[str]]:
    """So many free ones, or none. Called by the holder of the gate alone: between the two locks nobody comes."""
    taken: dict[str, IO[str]] = {}
    for name in known:
        file: IO[str] = open(folder() / name.replace("/", "-"), "a")  # noqa: SIM115 - kept, or closed below
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        fcntl.flock(file, fcntl.LOCK_SH)
        os.set_inheritable(file.fileno(), True)
        taken[name] = file
        if len(taken) == count:
            return taken
    for file in taken.values():
        file.close()
    return {}

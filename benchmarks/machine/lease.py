"""Leases GPUs by id, since Snakemake only counts them: by lock files, which the kernel frees however a process ends.

Every process that uses a GPU holds a shared lock on the GPU's file: the one that leased it, and those that torchrun
starts. A job that wants a GPU tries for an exclusive lock, so a GPU is free when the last of its processes has ended.
A gate file lets jobs try one at a time: each takes all the GPUs it needs or none.
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
LEASED = "SIDBENCH_LEASED"  # the lock files of the leased GPUs, for the processes that torchrun starts
POLL_SECONDS = 0.5
DEVICES = Path("/dev")
LEASE_ENV = "SIDBENCH_LEASES"  # names the folder of the lock files, if it is not below /tmp

_OPEN: list[IO[str]] = []  # the kernel closes them with the process


def gpus() -> list[str]:
    """The ids that this process may use: those of CUDA_VISIBLE_DEVICES, else the machine's. Imports no torch."""
    given = os.environ.get(VISIBLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    return sorted((path.name[6:] for path in DEVICES.glob("nvidia[0-9]*") if path.name[6:].isdigit()), key=int)


def folder() -> Path:
    """The folder of the lock files: one per machine, user and SLURM job, which counts its own GPUs from 0."""
    # Not a folder of the login: another login of the user, or a service without one, must find the same locks.
    shared = Path(os.environ.get(LEASE_ENV, "/tmp"))
    return shared / f"sidbench-gpus-{os.getuid()}" / os.environ.get("SLURM_JOB_ID", "machine")


def lease(count: int, patience: float | None = None) -> list[IO[str]]:
    """Takes so many GPUs for the life of this process, and sets CUDA_VISIBLE_DEVICES; 0 hides all GPUs.

    Waits until they are free, at most `patience` seconds if that is given. To be called before torch opens a device.
    Returns the lock files, which stay open, also over an exec.
    """
    known = gpus()
    if count > len(known):
        has = f"has {len(known)}" if known else "has none"
        raise Fault(
            f"this job needs {count} GPU{'s' * (count > 1)}, and this machine {has} (CUDA_VISIBLE_DEVICES, /dev)"
        )
    taken: dict[str, IO[str]] = {}
    if count:
        taken = _wait(known, count, patience)
    os.environ[VISIBLE] = ",".join(taken)
    os.environ[LEASED] = os.pathsep.join(file.name for file in taken.values())
    _OPEN.extend(taken.values())
    return list(taken.values())


def join() -> None:
    """In a process that torchrun started: locks its leased GPUs too, so that a killed parent frees none in use."""
    for name in filter(None, os.environ.get(LEASED, "").split(os.pathsep)):
        file = open(name)  # noqa: SIM115 - open until this process ends
        fcntl.flock(file, fcntl.LOCK_SH)
        _OPEN.append(file)


def _wait(known: Sequence[str], count: int, patience: float | None) -> dict[str, IO[str]]:
    """Tries until enough are free; says once that it waits."""
    folder().mkdir(parents=True, exist_ok=True)
    until = None if patience is None else time.monotonic() + patience
    announced = False
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
            if not announced:
                print(f"waiting for {count} of the GPUs {', '.join(known)}", file=sys.stderr, flush=True)
                announced = True
            time.sleep(POLL_SECONDS)


def _take(known: Sequence[str], count: int) -> dict[str, IO[str]]:
    """Locks so many free ones, or none. Only the holder of the gate calls it: nobody locks between the two locks."""
    taken: dict[str, IO[str]] = {}
    for name in known:
        file: IO[str] = open(folder() / name.replace("/", "-"), "a")  # noqa: SIM115 - returned, or closed below
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

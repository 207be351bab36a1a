"""How a job becomes the processes that train together: GPUs leased, torchrun in this process's place, srun over nodes.

sidbench run ...                                     no GPU or one: this very process
torchrun --nproc-per-node=8 -m benchmarks run ...    several GPUs of one machine
srun ... torchrun --nnodes=2 ...                     several nodes, inside a SLURM allocation
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import lease
from sid.fault import Fault
from sid.releases import numbers

if TYPE_CHECKING:
    from benchmarks.suite.job import Job


DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2): kept over an exec
SAVING = 600  # seconds that a signal leaves for the iteration's end and the state
PATIENT_SINCE = (2, 13)  # the oldest torch of which torchrun is known to take --shutdown-timeout; 2.11's doesn't
PORTS = range(20_000, 30_000)  # where the nodes of a SLURM job meet: by its number, so that two jobs don't


@contextlib.contextmanager
def started(job: Job, verb: str, target: str, args: argparse.Namespace) -> Iterator[str]:
    """The body runs in each process that does the job, and is given the command line that makes the job's files again.

    Args:
        job: what is made; its inputs must exist.
        verb: `run` or `prepare`.
        target: the job's name on the command line.
        args: `results`, `suite`, `quiet` and `gpus`.
    """
    require(job)
    enter(job, args.gpus, ["--results", args.results, verb, args.suite, target, *["--quiet"] * args.quiet])
    with leaving_cleanly():
        yield f"sidbench {verb} {args.suite} {target}"


def enter(job: Job, given: int | None, words: Sequence[str]) -> None:
    """Returns in each process that is to work; the one that was called may be replaced by torchrun.

    `given` is the number of GPUs a node that the workflow gives, where it differs from what the suite asks for.
    """
    asked, nodes = job.resources.get("gpu", 0), job.resources.get("nodes", 1)
    count = asked if given is None else given
    if "RANK" in os.environ:  # torchrun has started this process
        lease.keep()
    elif nodes > 1:
        _replace(over_nodes(nodes, asked, words, _first_host()))
    elif asked and not count:
        raise Fault(f"{job.id} is planned on {asked} GPU{'s' * (asked > 1)} and was given none: see `--resources gpu`")
    else:
        lease.lease(count)
        if count > 1:
            _replace(on_this_machine(count, words))


def on_this_machine(count: int, words: Sequence[str]) -> list[str]:
    """torchrun with so many processes here."""
    return [*torchrun(), "--standalone", f"--nproc-per-node={count}", "-m", "benchmarks", *words]


def over_nodes(nodes: int, count: int, words: Sequence[str], host: str) -> list[str]:
    """One torchrun a node, started by srun; a process per GPU, one where there is none. SLURM gives the GPUs."""
    number = os.environ["SLURM_JOB_ID"]
    port = PORTS[int(number) % len(PORTS)]
    each = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    each += [f"--gpus-per-node={count}"] if count else []
    meet = ["--rdzv-backend=c10d", f"--rdzv-id={number}", f"--rdzv-endpoint={host}:{port}"]
    shape = [f"--nnodes={nodes}", f"--nproc-per-node={max(count, 1)}"]
    return ["srun", *each, *torchrun(), *shape, *meet, "-m", "benchmarks", *words]


def torchrun() -> list[str]:
    """Its own defaults would die of SIGUSR1 and kill, after half a minute, what is still saving a large state."""
    heard = "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    patience = [f"--shutdown-timeout={SAVING}"] if numbers(version("torch")) >= PATIENT_SINCE else []
    return [sys.executable, "-m", "torch.distributed.run", heard, *patience]


def _first_host() -> str:
    """Where the nodes meet. Snakemake's jobstep takes SLURM_JOB_NODELIST away: SLURM itself is asked."""
    if "SLURM_JOB_ID" not in os.environ:
        raise Fault("a job over several nodes needs SLURM: take the slurm profile (docs/clusters.md), or plan one node")
    nodes = _said("squeue", "--noheader", "--format=%N", f"--jobs={os.environ['SLURM_JOB_ID']}")
    first = _said("scontrol", "show", "hostnames", nodes).splitlines()[0]
    told = dict(word.split("=", 1) for word in _said("scontrol", "show", "node", first).split() if "=" in word)
    return told.get("NodeAddr", first)  # its name in SLURM need not be one of the network's


def _said(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise Fault(f"{words[0]} doesn't tell the nodes of this job: {done.stderr.strip() or 'it says nothing'}")
    return done.stdout.strip()


def _replace(words: list[str]) -> None:
    """torchrun takes this process's place: a signal reaches it, and the leased files stay open in it."""
    sys.stdout.flush()
    if os.environ.get("SIDBENCH_WATCH_PARENT") and sys.platform == "linux":
        # Trainers watch their parent, and torchrun watches nobody: the kernel ends it with the workflow.
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)
    os.execvp(words[0], words)


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

    from sid.loop.lock import TrainingStopped

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        yield
    except TrainingStopped as stopped:
        raise SystemExit(stopped.code) from None

"""From a job to the processes that run it: GPUs are leased, torchrun replaces this process, srun starts one per node.

sidbench run ...                                     no GPU or one: this process
torchrun --nproc-per-node=8 -m benchmarks run ...    several GPUs of one machine
srun ... torchrun --nnodes=2 ...                     several nodes, inside a SLURM allocation
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import lease
from benchmarks.suite.job import LEVELS
from sid.fault import Fault, parsed
from sid.loop import parent
from sid.loop.lock import Lock
from sid.releases import numbers

if TYPE_CHECKING:
    from benchmarks.suite.job import Job, Kind


SAVING_SECONDS = 600  # from a signal until torchrun kills: for the end of the iteration and the state
TIMEOUT_SINCE = (2, 13)  # the oldest torch whose torchrun is known to take --shutdown-timeout; 2.11's doesn't
BEGAN = "SIDBENCH_BEGAN"  # when the workflow began, in seconds since 1970
PORTS = range(20_000, 30_000)  # for the rendezvous of a SLURM job's nodes, by the job's number


def results_of(args: argparse.Namespace, kind: Kind) -> str:
    """The folder of the results: what the user named, or that above the file of a job that the workflow names."""
    if not args.output:
        return str(args.results)
    above = Path(args.output[0]).parents
    if len(above) < LEVELS[kind]:
        raise Fault(f"--output is the workflow's own, and '{args.output[0]}' is no output of it; --out names a folder")
    return str(above[LEVELS[kind] - 1])


@contextlib.contextmanager
def alone(job: Job, doing: str) -> Iterator[None]:
    """Holds the lock of a job over all workflows of these results; who makes it already is named and waited for.

    Args:
        job: what is made.
        doing: the command, for those who wait.
    """
    if "RANK" in os.environ:  # torchrun has started this process, and has the lock
        yield
        return
    lock = Lock(_lock_of(job))
    with contextlib.closing(lock):
        lock.wait(f"which makes {job.kind} {job.id}")
        lock.sign(doing)
        lock.outlast_exec()
        yield


def _lock_of(job: Job) -> Path:
    return Path(job.params["state"]).with_name(f"{job.digest}.lock")


def made_elsewhere(jobs: Iterable[Job]) -> Iterator[str]:
    """A sentence for each job that another workflow of these results makes now: the one here will wait for it."""
    for job in jobs:
        if "state" not in job.params or not _lock_of(job).is_file():
            continue
        lock = Lock(_lock_of(job))
        with contextlib.closing(lock):
            if not lock.take():
                yield f"waiting for {lock.holder() or 'another process'}, which makes {job.kind} {job.id}"


def made_meanwhile(job: Job) -> bool:
    """Whether another workflow has made the job since this one began."""
    try:
        recorded = parsed((job.folder / "record.json").read_text())
        written = (job.folder / "record.json").stat().st_mtime
    except (OSError, ValueError):
        return False
    whole = isinstance(recorded, dict) and recorded.get("digest") == job.digest
    return whole and written > float(os.environ.get(BEGAN, "inf")) and all(map(os.path.exists, job.outputs))


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
    enter(job, args.gpus, [f"--results={args.results}", verb, args.suite, target, *["--quiet"] * args.quiet])
    with leaving_cleanly():
        yield shlex.join(["sidbench", verb, args.suite, target])


def confirm(job: Job, planned: str | None) -> None:
    """A Fault if the job is no longer what the workflow planned: a file that the suite names has changed meanwhile."""
    if planned is not None and planned != job.digest:
        raise Fault(
            f"{job.id} was planned as {planned} and is {job.digest} now: the suite or a file that it names has changed "
            "since; run the same command again"
        )


def enter(job: Job, given: int | None, words: Sequence[str]) -> None:
    """Returns in each process that is to work; the calling one may be replaced by torchrun.

    Args:
        job: Whose planned resources count.
        given: GPUs per node that the workflow gives, if they differ from the plan's.
        words: The arguments of `sidbench`, for torchrun to call it with again.
    """
    planned, nodes = job.resources.get("gpu", 0), job.resources.get("nodes", 1)
    count = planned if given is None else given
    if "RANK" in os.environ:  # torchrun has started this process
        lease.join()
    elif nodes > 1:
        # The trainers on other nodes can't know this process: each watches the torchrun that starts it.
        _replace(over_nodes(nodes, planned, words, _first_host()), "1")
    elif planned and not count:
        plural = "s" * (planned > 1)
        raise Fault(f"{job.id} is planned on {planned} GPU{plural} and was given none: see `--resources gpu`")
    else:
        lease.lease(count)
        if count > 1:
            _replace(on_this_machine(count, words), str(os.getpid()))


def on_this_machine(count: int, words: Sequence[str]) -> list[str]:
    """The call of torchrun with so many processes on this machine."""
    return [*torchrun(), "--standalone", f"--nproc-per-node={count}", "-m", "benchmarks", *words]


def over_nodes(nodes: int, count: int, words: Sequence[str], host: str) -> list[str]:
    """The call of srun that starts a torchrun on each node. SLURM assigns the GPUs.

    Args:
        nodes: How many.
        count: GPUs, and processes, per node; 0: one process on the CPU.
        words: The arguments of `sidbench`.
        host: Where the nodes meet.
    """
    number = os.environ["SLURM_JOB_ID"]
    port = PORTS[int(number) % len(PORTS)]
    each = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    each += [f"--gpus-per-node={count}"] if count else []
    meet = ["--rdzv-backend=c10d", f"--rdzv-id={number}", f"--rdzv-endpoint={host}:{port}"]
    shape = [f"--nnodes={nodes}", f"--nproc-per-node={max(count, 1)}"]
    return ["srun", *each, *torchrun(), *shape, *meet, "-m", "benchmarks", *words]


def torchrun() -> list[str]:
    """The call of torchrun. Its defaults: to die of SIGUSR1, and to kill after 30 s what still saves a large state."""
    signals = "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
    timeout = [f"--shutdown-timeout={SAVING_SECONDS}"] if numbers(version("torch")) >= TIMEOUT_SINCE else []
    return [sys.executable, "-m", "torch.distributed.run", signals, *timeout]


def _first_host() -> str:
    """The address of the first node, asked of SLURM, since Snakemake's jobstep removes SLURM_JOB_NODELIST."""
    if "SLURM_JOB_ID" not in os.environ:
        raise Fault("a job over several nodes needs SLURM: use the slurm profile (docs/clusters.md), or plan one node")
    nodes = _output("squeue", "--noheader", "--format=%N", f"--jobs={os.environ['SLURM_JOB_ID']}")
    first = _output("scontrol", "show", "hostnames", nodes).splitlines()[0]
    facts = dict(word.split("=", 1) for word in _output("scontrol", "show", "node", first).split() if "=" in word)
    return facts.get("NodeAddr", first)  # its name in SLURM need not be its name in the network


def _output(*words: str) -> str:
    """What the command prints; a Fault if it fails or prints nothing."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode or not done.stdout.strip():
        raise Fault(f"{words[0]} doesn't list the nodes of this job: {done.stderr.strip() or 'it prints nothing'}")
    return done.stdout.strip()


def _replace(words: list[str], watch: str) -> None:
    """Replaces this process by torchrun: signals reach it, and the lock files stay open in it.

    The kernel ends torchrun with the workflow, as it was to end this process; trainers watch torchrun (`watch`).
    """
    sys.stdout.flush()
    if parent.watched() is not None:
        os.environ[parent.WATCH] = watch
    os.execvp(words[0], words)


def require(job: Job) -> None:
    """A Fault if an input of the job is missing."""
    missing = [path for path in job.inputs if not Path(path).exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise Fault(f"{missing[0]} is missing{more}; `sidbench reproduce` makes everything in order")


@contextlib.contextmanager
def leaving_cleanly() -> Iterator[None]:
    """Sets torch's threads from OMP_NUM_THREADS; a run that a signal stops leaves with its status, no traceback."""
    import torch

    from sid.loop.lock import TrainingStopped

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    try:
        yield
    except TrainingStopped as stopped:
        raise SystemExit(stopped.code) from None

"""A real SLURM on this machine, started here: the smoke suite through the plugin, over two nodes, requeued once.

Run on demand: python tests/smoke/slurm.py [--short]   (Debian: slurmctld slurmd slurm-client munge; as root)

Two nodes of one core each, both on this host, and no accounting: the plugin asks squeue for the jobs' states. What is
shown: the suite is made; a task with `machine: {nodes: 2}` trains as two torchrun tasks, one a node; a running job that
is sent back by `scontrol requeue` goes on from its state and ends with the bytes of an undisturbed run without SLURM.
`--short` leaves the requeued job out: SLURM waits two minutes before it starts one again.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue", "scontrol", "sinfo")
STANDARD = Path("/etc/slurm/slurm.conf")  # the plugin's jobstep takes SLURM_CONF away from what it starts
SUITE = """
name: clustered
extends: smoke
tasks:
  two-nodes: {teacher: digits-cond, protocol: digits, machine: {nodes: 2}, budget: {images: 5_120, batch: 256}}
  requeued: {teacher: digits-cond, protocol: digits, budget: {images: 150_000, batch: 256, observe: 3}}
entries:
  dmd: {tasks: [digits-cond]}
  teacher: {tasks: [digits-cond]}
  untrained: {tasks: [digits-cond]}
"""
REQUEUED = "requeued"
CONF = """
ClusterName=smoke
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
MinJobAge=600
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
NodeName=first NodeHostname={host} NodeAddr=127.0.0.1 Port=16821 CPUs=1 RealMemory=6000
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port=16822 CPUs=1 RealMemory=6000
PartitionName=all Nodes=first,second Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def cluster(place: Path) -> Iterator[None]:
    """munged, slurmctld and two slurmd; all of them end with the block."""
    host = os.uname().nodename
    place.chmod(0o755)
    for name in ("munge", "state", "spool-first", "spool-second"):
        (place / name).mkdir(mode=0o755)
    (place / "slurm.conf").write_text(CONF.format(host=host, user=pwd.getpwuid(os.getuid()).pw_name, place=place))
    STANDARD.parent.mkdir(exist_ok=True)
    STANDARD.symlink_to(place / "slurm.conf")
    started = [_munged(place / "munge")]
    try:
        time.sleep(1)
        for words in (["slurmctld", "-c", "-D"], *(["slurmd", "-D", "-N", node] for node in ("first", "second"))):
            started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        _wait("two idle nodes", lambda: said("sinfo", "--noheader", "--format=%T %D") == "idle 2", 30)
        yield
    finally:
        STANDARD.unlink()
        for process in reversed(started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _munged(folder: Path) -> subprocess.Popen:
    """munged as its own user, with a key of this run."""
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    told = [f"--{name}={folder / name.partition('-')[0]}" for name in ("key-file", "socket", "pid-file", "log-file")]
    told.append(f"--seed-file={folder / 'seed'}")
    owner = pwd.getpwnam("munge")
    for path in (folder, folder / "key"):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return subprocess.Popen(["munged", "--foreground", *told], user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def _wait(what: str, true: object, seconds: float) -> None:
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.3)


def reproduce(folder: Path, results: str, *flags: str) -> subprocess.Popen:
    """The suite, locally or through the profile; what it says lies beside."""
    command = [sys.executable, "-m", "benchmarks", "--results", results, "reproduce", "clustered.yaml", *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = open(folder / f"{results}.log", "a")  # noqa: SIM115 - closed with the process
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def watch(process: subprocess.Popen, folder: Path) -> set[str]:
    """Follows the jobs to the end, sends the one back that trains long, and returns what squeue said of them."""
    seen: set[str] = set()
    sent = False
    while process.poll() is None:
        for line in said("squeue", "--noheader", "--states=all", "--format=%k|%T|%D|%i").splitlines():
            comment, state, nodes, number = line.split("|")
            seen.add(f"{comment} {state} on {nodes}")
            states = folder.glob("cluster/clustered/state/requeued/sid/0/*/state-*")
            if not sent and "requeued_sid" in comment and state == "RUNNING" and any(states):
                sent = not said("scontrol", "requeue", number)
                print(f"job {number} ({comment}) is sent back", flush=True)
        time.sleep(0.5)
    return seen


def check(seen: set[str], folder: Path, short: bool) -> list[str]:
    """What is wrong, a sentence each."""
    wrong = []
    expected = ["rule_run_nodes_wildcards_two-nodes_sid_0 RUNNING on 2"]
    for what in expected if short else [*expected, "requeued_sid_0 COMPLETED on 1", "requeued_sid_0 PENDING"]:
        if not any(what in one for one in seen):
            wrong.append(f"squeue never said '{what}'")
    log = folder / "cluster/clustered/logs/requeued/sid/0.log"
    if not short and "going on from" not in log.read_text():
        wrong.append(f"the requeued job began anew: {log.read_text()}")
    for name in ("curve.jsonl", "scores.json", "generator.safetensors"):
        for task in ["digits-cond"] if short else [REQUEUED, "digits-cond"]:
            one, other = (folder / home / f"clustered/runs/{task}/sid/0/{name}" for home in ("cluster", "alone"))
            if one.read_bytes() != other.read_bytes():
                wrong.append(f"{task}'s {name} differs from that of an undisturbed run without SLURM")
    return wrong


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the daemons are ended then, too
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        print(f"skipped: {', '.join(missing)} not installed (Debian: slurmctld slurmd slurm-client munge)")
        return 0
    if os.getuid():
        print("skipped: starting munged and slurmd takes root")
        return 0
    if STANDARD.exists() or STANDARD.is_symlink():
        print(f"skipped: this machine has a SLURM of its own ({STANDARD})")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "daemons").mkdir()
        folder.chmod(0o755)
        profile = ["--workflow-profile", str(ROOT / "workflow/profiles/slurm"), "--latency-wait", "20"]
        profile += [
            "--slurm-init-seconds-before-status-checks",
            "2",
            "--slurm-status-command",
            "squeue",
            "--slurm-no-account",
        ]
        short = "--short" in sys.argv[1:]
        suite = "".join(line for line in SUITE.splitlines(True) if not (short and REQUEUED in line))
        (folder / "clustered.yaml").write_text(suite)
        with cluster(folder / "daemons"):
            begin = time.monotonic()
            process = reproduce(folder, "cluster", *profile)
            seen = watch(process, folder)
            print("\n".join(sorted(seen)))
            if process.returncode:
                print((folder / "cluster.log").read_text())
                logs = [*(folder / "cluster").rglob("*.log"), *(folder / ".snakemake/slurm_logs").rglob("*.log")]
                print(*(f"{path}:\n{path.read_text()}" for path in logs), sep="\n")
                return 1
            print(f"through SLURM: {time.monotonic() - begin:.0f} s", flush=True)
        alone = suite.replace("machine: {nodes: 2}, ", "")
        (folder / "clustered.yaml").write_text(alone)
        if reproduce(folder, "alone").wait():
            print((folder / "alone.log").read_text())
            return 1
        wrong = check(seen, folder, short)
        print("\n".join(wrong) or "all as it should be")
        return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

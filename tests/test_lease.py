"""GPUs leased by id, with ids that exist nowhere: no GPU is asked for anything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.machine import launch, lease
from benchmarks.suite.job import Job
from sid.fault import Fault

ROOT = Path(__file__).parents[1]
# Leases so many, writes down its ids, and works until its standard input is closed.
WORKER = """
import os, sys
from benchmarks.machine import lease
count, note = int(sys.argv[1]), sys.argv[2]
lease.lease(count, patience=20)
open(note, "w").write(os.environ["CUDA_VISIBLE_DEVICES"])
sys.stdin.read()
"""
# Leases one for a moment, and writes down its id and when it had it.
TIMED = """
import os, sys, time
from benchmarks.machine import lease
lease.lease(1, patience=60)
begin = time.monotonic()
time.sleep(0.2)
open(sys.argv[1], "w").write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {begin} {time.monotonic()}")
"""
# What torchrun does: it takes the place of the process that leased, and starts others that close what they inherit.
PARENT = """
import os, subprocess, sys
from benchmarks.machine import lease
lease.lease(2, patience=20)
take = "import sys; from benchmarks.machine.lease import join; join();"
child = take + "open(sys.argv[1], 'w').write('x'); sys.stdin.read()"
os.execv(sys.executable, [sys.executable, "-c", f'''
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {child!r}, sys.argv[1]]).wait()
''', sys.argv[1]])
"""


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv(lease.LEASED, "")
    for name in ("SLURM_JOB_ID", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(lease.LEASE_ENV, str(tmp_path / "run"))
    monkeypatch.setenv(lease.VISIBLE, "3,5,GPU-aa")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield
    while lease._OPEN:
        lease._OPEN.pop().close()


def start(code: str, *words: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.Popen(call, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def written(note: Path, seconds: float = 20) -> str:
    until = time.monotonic() + seconds
    while not (note.exists() and note.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    return note.read_text() if note.exists() else ""


def free(count: int) -> bool:
    """Whether so many could be leased now."""
    lease.folder().mkdir(parents=True, exist_ok=True)
    taken = lease._take(lease.gpus(), count)
    for file in taken.values():
        file.close()
    return len(taken) == count


def test_two_at_a_time_each_with_ids_of_its_own(tmp_path: Path) -> None:
    first, second = (start(WORKER, 1, tmp_path / name) for name in "ab")
    ids = [written(tmp_path / name) for name in "ab"]
    assert len(set(ids)) == 2 and set(ids) < {"3", "5", "GPU-aa"}
    waiting = start(WORKER, 2, tmp_path / "c")
    time.sleep(0.7)
    assert not (tmp_path / "c").exists() and free(1), "it holds none while it waits for two"
    first.communicate("")
    pair = written(tmp_path / "c").split(",")
    assert len(set(pair)) == 2 and ids[1] not in pair
    for process in (second, waiting):
        process.communicate("")
    assert free(3)


def test_six_jobs_on_two_gpus_never_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(lease.VISIBLE, "0,1")
    for process in [start(TIMED, tmp_path / str(number)) for number in range(6)]:
        assert process.wait(60) == 0, process.communicate()[1]
    used = [written(tmp_path / str(number)).split() for number in range(6)]
    assert {gpu for gpu, *_ in used} == {"0", "1"}
    for gpu, begin, end in used:
        beside = [
            other
            for other in used
            if other[0] == gpu and float(other[1]) < float(end) and float(begin) < float(other[2])
        ]
        assert len(beside) == 1, used


def test_a_killed_job_frees_its_gpu(tmp_path: Path) -> None:
    process = start(WORKER, 3, tmp_path / "note")
    assert written(tmp_path / "note") == "3,5,GPU-aa" and not free(1)
    process.kill()
    process.wait()
    assert free(3)


def test_a_killed_torchrun_keeps_the_gpus_of_living_workers(tmp_path: Path) -> None:
    parent = start(PARENT, tmp_path / "note")
    assert written(tmp_path / "note") == "x" and not free(2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not free(2), "its worker lives"
    assert parent.stdin is not None
    parent.stdin.close()  # the worker ends
    until = time.monotonic() + 20
    while not free(3) and time.monotonic() < until:
        time.sleep(0.05)
    assert free(3)


def test_none_are_seen_where_none_are_asked_for() -> None:
    assert lease.lease(0) == [] and os.environ[lease.VISIBLE] == ""
    assert lease.gpus() == []


def test_too_many_are_refused() -> None:
    with pytest.raises(Fault, match=r"^this job needs 4 GPUs, and this machine has 3 "):
        lease.lease(4)


def test_the_machines_own_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(lease.VISIBLE)
    monkeypatch.setattr(lease, "DEVICES", tmp_path)
    with pytest.raises(Fault, match="needs 1 GPU, and this machine has none"):
        lease.lease(1)
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert lease.gpus() == ["2", "10"]


def test_a_job_of_slurm_counts_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (taken,) = lease.lease(1)
    monkeypatch.setenv(lease.VISIBLE, "3")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert free(1), "GPU 3 of job 7 is another one"
    taken.close()


def job(**resources: int) -> Job:
    return Job("run", "sd15/sid/0", "d", {}, (), ("a/b",), resources=resources)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(launch, "_replace", lambda words, watch: calls.append(words))
    return calls


def test_one_gpu_is_this_very_process(replaced: list[list[str]]) -> None:
    launch.enter(job(gpu=1), None, ["run"])
    assert not replaced and os.environ[lease.VISIBLE] == "3"


def test_several_are_torchruns(replaced: list[list[str]]) -> None:
    launch.enter(job(gpu=8), 3, ["--results", "r", "run", "sd15", "sd15/sid/0"])
    tail = ["--standalone", "--nproc-per-node=3", "-m", "benchmarks", "--results", "r", "run", "sd15", "sd15/sid/0"]
    assert replaced == [[*launch.torchrun(), *tail]]
    assert len(os.environ[lease.VISIBLE].split(",")) == 3


def test_a_planned_gpu_that_is_not_given_is_refused() -> None:
    with pytest.raises(Fault, match="is planned on 8 GPUs and was given none"):
        launch.enter(job(gpu=8), 0, ["run"])


def test_nodes_need_slurm() -> None:
    with pytest.raises(Fault, match="needs SLURM"):
        launch.enter(job(gpu=8, nodes=2), 0, ["run"])


def test_torchrun_over_two_nodes(monkeypatch: pytest.MonkeyPatch, replaced: list[list[str]]) -> None:
    outputs = {
        "squeue": "node[07-08]",
        "scontrol show hostnames node[07-08]": "node07\nnode08",
        "scontrol show node node07": "NodeName=node07 Arch=x86_64 CPUTot=64\n   NodeAddr=10.0.0.7 NodeHostName=node07",
    }
    monkeypatch.setenv("SLURM_JOB_ID", "10003")
    monkeypatch.setattr(launch, "version", lambda package: "2.13.0")
    monkeypatch.setattr(
        launch, "_output", lambda *words: outputs[words[0] if words[0] == "squeue" else " ".join(words)]
    )
    launch.enter(job(gpu=8, nodes=2), 0, ["run"])
    assert " ".join(replaced[0]).replace(sys.executable, "python") == (
        "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=1 --gpus-per-node=8 "
        "python -m torch.distributed.run "
        "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 --shutdown-timeout=600 "
        "--nnodes=2 --nproc-per-node=8 "
        "--rdzv-backend=c10d --rdzv-id=10003 --rdzv-endpoint=10.0.0.7:20003 -m benchmarks run"
    )


def test_an_old_torchrun_gets_no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "version", lambda package: "2.11.0+cu130")
    assert not any("shutdown-timeout" in word for word in launch.torchrun())
    monkeypatch.setattr(launch, "version", lambda package: "2.13.0")
    assert "--shutdown-timeout=600" in launch.torchrun()

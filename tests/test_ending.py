"""No job outlives its workflow: signals to `reproduce` alone, kills of it and of Snakemake, early in a job's life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from sid.loop import parent

ROOT = Path(__file__).parents[1]
MARK = "SIDBENCH_TEST_PLACE"  # in the environment of every process of a test
SUITE = {
    "name": "long",
    "extends": "smoke",
    "teachers": {"digits-cond": {"training": {"images": 50_000_000}}},
}
LIMIT = 10.0  # seconds after which no process may be left


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(SUITE))
    yield tmp_path
    for process in ours(tmp_path):
        with contextlib.suppress(psutil.Error):
            process.kill()


def ours(place: Path) -> list[psutil.Process]:
    """The living processes of a test."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(place) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


def start(place: Path, ignored: signal.Signals | None = None) -> subprocess.Popen[str]:
    """The long suite, with its signals as a terminal sets them.

    Args:
        place: folder with the suite.
        ignored: as a shell ignores SIGINT for commands in the background, and nohup ignores SIGHUP.
    """
    numbers = (signal.SIGINT, signal.SIGHUP)
    before = {each: signal.signal(each, signal.SIG_IGN if each == ignored else signal.SIG_DFL) for each in numbers}
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "reproduce", "long.yaml"],
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(ROOT), MARK: str(place)},
            stdout=open(place / "output", "a"),
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def wait_for_job(place: Path, verb: str = "prepare") -> psutil.Process:
    """The first job's process, as soon as it is there: it has imported nothing yet."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        for process in ours(place):
            with contextlib.suppress(psutil.Error):
                if verb in process.cmdline() and "teacher/" in " ".join(process.cmdline()):
                    return process
        time.sleep(0.02)
    raise AssertionError((place / "output").read_text())


def snakemake_of(place: Path) -> psutil.Process:
    (snakemake,) = [process for process in ours(place) if "snakemake" in process.cmdline()[:3]]
    return snakemake


def assert_all_gone(place: Path) -> None:
    until = time.monotonic() + LIMIT
    while left := ours(place):
        assert time.monotonic() < until, [process.cmdline() for process in left]
        time.sleep(0.1)


@pytest.mark.parametrize("later", [0.0, 0.8], ids=["at its start", "while it imports"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_reproduce_alone_stops_everything(number: signal.Signals, later: float, place: Path) -> None:
    process = start(place, ignored=signal.SIGINT if number == signal.SIGINT else None)
    wait_for_job(place)
    time.sleep(later)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert_all_gone(place)
    assert "the same command goes on from here" in (place / "output").read_text()
    assert not list((place / ".snakemake").glob("locks/*"))


@pytest.mark.parametrize("victim", ["reproduce", "snakemake"])
def test_a_kill_leaves_no_job_and_the_same_command_goes_on(victim: str, place: Path) -> None:
    process = start(place)
    job = wait_for_job(place)
    if victim == "reproduce":
        process.kill()
    else:
        snakemake_of(place).kill()
    process.wait(60)
    again = start(place)  # at once: some are still leaving
    assert wait_for_another_job(place, job).is_running()
    again.send_signal(signal.SIGTERM)
    assert again.wait(60) == 143
    assert_all_gone(place)
    assert "already" not in (place / "output").read_text()


def wait_for_another_job(place: Path, first: psutil.Process) -> psutil.Process:
    until = time.monotonic() + 90
    while (job := wait_for_job(place)).pid == first.pid:
        assert time.monotonic() < until
        time.sleep(0.05)
    return job


def test_a_run_under_nohup_outlives_the_terminal(place: Path) -> None:
    process = start(place, ignored=signal.SIGHUP)
    job = wait_for_job(place)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None and job.is_running()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert_all_gone(place)


DROPPED = """
import os, signal, time
from benchmarks.machine import ending

class Collected:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

try:
    with ending.stoppable():
        Collected()
        time.sleep(30)
except ending.Stopped as stopped:
    print("stopped by", stopped.number)
"""


def test_a_request_that_python_drops_is_raised_again() -> None:
    """As in the middle of a fork, what is raised while an object is collected reaches nobody."""
    done = subprocess.run([sys.executable, "-c", DROPPED], cwd=ROOT, capture_output=True, text=True, timeout=25)
    assert done.stdout == "stopped by 15\n" and not done.stderr


TIED = """
import os, sys, time
from sid.loop import parent
if {polling}:
    parent._asked_of_the_kernel = lambda number: False
parent.follow()
print("tied", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("polling", [False, True], ids=["by the kernel", "by looking"])
def test_a_tied_process_leaves_with_its_parent(polling: bool, tmp_path: Path) -> None:
    inner = f"import os, subprocess, sys; os.environ['{parent.WATCH}'] = str(os.getpid()); "
    inner += f"subprocess.run([sys.executable, '-c', {TIED.format(polling=polling)!r}])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", inner], env=environment, stdout=subprocess.PIPE) as outer:
        assert outer.stdout is not None and outer.stdout.readline() == b"tied\n"
        outer.kill()
    assert_all_gone(tmp_path)


def test_a_job_whose_workflow_is_gone_already_leaves_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), parent.WATCH: "999999"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "list"], env=environment, capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGTERM and not done.stdout


def test_by_hand_nobody_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parent.WATCH, raising=False)
    assert parent.watched() is None
    monkeypatch.setenv(parent.WATCH, "1")
    assert parent.watched() == os.getppid()

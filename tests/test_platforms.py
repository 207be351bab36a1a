"""What only Linux has is taken away, one by one: each has a fallback (macOS, network folders)."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import hardware
from benchmarks.machine import doctor, lease
from benchmarks.speed import metrics
from sid.loop import memory

ROOT = Path(__file__).parents[1]
# Calls that only Linux has, or that count otherwise elsewhere, and the files that give them a fallback.
GUARDED = {
    r"sched_getaffinity": {"benchmarks/hardware.py"},
    r"ru_maxrss": {"sid/loop/memory.py"},
    r"\bprctl\(": {"sid/loop/parent.py", "benchmarks/speed/gpu/plan.py"},
    r"\"/proc": {
        "benchmarks/hardware.py",
        "benchmarks/machine/doctor.py",
        "benchmarks/speed/metrics.py",
        "sid/loop/claim.py",
    },
    r"\bflock\(": {"sid/loop/lock.py", "benchmarks/machine/lease.py"},
}


@pytest.mark.parametrize("call", GUARDED)
def test_a_call_that_only_linux_has_stands_where_its_fallback_is(call: str) -> None:
    files = [path for room in ("sid", "sidbench", "baselines", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    places = {str(path.relative_to(ROOT)) for path in files if re.search(call, path.read_text(encoding="utf-8"))}
    assert places and places <= GUARDED[call]


def test_cores_are_counted_without_a_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= hardware.cores() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity")
    assert hardware.cores() == os.cpu_count()
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert any("cores" in finding.what for finding in doctor.devices(Path("nowhere")))


def test_memory_is_counted_in_each_systems_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Usage:
        ru_maxrss = 3000

    monkeypatch.setattr(resource, "getrusage", lambda who: Usage)
    for platform, most in (("linux", 3000 * 1024), ("darwin", 3000)):
        monkeypatch.setattr(sys, "platform", platform)
        assert memory.peak_memory(torch.device("cpu")) == most


def test_without_proc_a_processor_has_a_name_and_a_program_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text

    def without_proc(path: Path, *words: object, **more: object) -> str:
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return read(path, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", without_proc)
    hardware.device_name.cache_clear()
    assert hardware.device_name()
    hardware.device_name.cache_clear()
    assert metrics.peak_bytes() > 2**20


def test_a_machine_without_device_files_has_no_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(lease.VISIBLE, raising=False)
    monkeypatch.setattr(lease, "DEVICES", tmp_path / "dev")
    assert lease.gpus() == []


def test_the_makefile_says_how_to_get_a_python(tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "make", "cksum", "cat", "pwd", "test", "echo", "bash"):
        if (program := shutil.which(name)) is not None:
            (tools / name).symlink_to(program)
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    words = ["make", "--no-print-directory", "install", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(words, cwd=ROOT, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and not (tmp_path / "venv").exists()
    for remedy in ("Python 3.11 to 3.14 is needed", "apt install", "brew install", "uv python install"):
        assert remedy in done.stderr

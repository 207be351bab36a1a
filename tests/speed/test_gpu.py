"""`make gpu`: everything missing is reported at once, the budget decides what runs, records survive a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import page
from benchmarks.speed.cases import CASES, recorded_flops
from benchmarks.speed.gpu import __main__ as command
from benchmarks.speed.gpu import packages
from benchmarks.speed.gpu.plan import GRACE, Step, StepPlaces, TimeBudget, steps
from benchmarks.speed.machine import installed
from sid import atomic
from sid.fault import Fault
from sid.releases import numbers

ROOT = packages.ROOT


def versions(**changed: str | None) -> packages.Installed:
    """A machine with every package, except that these have another version or (None) are missing."""

    def installed(name: str) -> str:
        number = changed.get(name.replace("-", "_"), "999.0")
        if number is None:
            raise PackageNotFoundError(name)
        return number

    return installed


# Packages


def test_a_machine_with_everything_needs_no_wheels(tmp_path: Path) -> None:
    assert packages.ready(tmp_path / "whl", tmp_path / "site", versions()) is None
    assert not (tmp_path / "site").exists()


def test_everything_missing_is_reported_at_once(tmp_path: Path) -> None:
    machine = versions(torch="2.10.1+cu130", scipy=None, pydantic=None, diffusers=None)
    (tmp_path / "diffusers-0.42.1-py3-none-any.whl").touch()
    with pytest.raises(Fault) as fault:
        packages.ready(tmp_path, tmp_path / "site", machine)
    own, wheels = fault.value.sentences
    assert "torch 2.11 or newer (here is 2.10.1+cu130)" in own and "scipy 1.13 or newer" in own
    assert wheels.startswith("pydantic is neither") and "make gpu-wheels" in wheels


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("2.9.1") < numbers("2.11") <= numbers("2.11.0+cu130")
    assert packages.missing(versions(torch="2.11.0+cu130")) == ([], [])


def test_a_wheel_is_the_packages_own(tmp_path: Path) -> None:
    (tmp_path / "pydantic_core-2.50.4-cp312-cp312-manylinux2014_x86_64.whl").touch()
    assert packages.wheel_of("pydantic", tmp_path) is None
    assert packages.wheel_of("pydantic-core", tmp_path) is not None


def test_the_lock_has_what_is_brought() -> None:
    chosen = packages.locked(packages.LOCK.read_text())
    assert chosen.count("==") == len(packages.BROUGHT) and "--hash=sha256:" in chosen


def test_a_missing_version_is_none() -> None:
    assert installed("no-such-package-anywhere") is None


# The budget


def sleeping(name: str, seconds: float, needs: int = 1, most: int = 30) -> Step:
    return Step(name, needs, most, {name: ("timeit", "-n1", "-r1", "-s", "import time", f"time.sleep({seconds})")})


def test_a_step_for_which_too_little_is_left_is_skipped(tmp_path: Path) -> None:
    row = TimeBudget(GRACE + 5, time.monotonic()).run(sleeping("long", 0, needs=20), tmp_path, os.environ)
    assert row["step"] == "long" and "it needs 20" in row["skipped"]
    assert not list(tmp_path.iterdir())


def test_a_step_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    begin = time.monotonic()
    row = TimeBudget(1000, begin).run(sleeping("slow", 600, most=1), tmp_path, os.environ)
    assert row["status"]["slow"] < 0 and row["ended"].startswith("slow") and time.monotonic() - begin < 1 + GRACE + 2


def test_a_step_that_ends_by_itself_has_its_status(tmp_path: Path) -> None:
    step = Step("two", 1, 30, {"good": ("this",), "bad": ("no_such_module",)})
    assert TimeBudget(1000, time.monotonic()).run(step, tmp_path, os.environ)["status"] == {"good": 0, "bad": 1}
    assert "no_such_module" in (tmp_path / "bad.log").read_text()


@pytest.mark.parametrize("tiny", [False, True])
def test_every_step_fits_a_whole_budget(tiny: bool, tmp_path: Path) -> None:
    plan = steps(StepPlaces(tmp_path, tmp_path, tmp_path, tiny))
    assert len({name for step in plan for name in step.commands}) == sum(len(step.commands) for step in plan)
    assert all(step.needs <= step.most for step in plan)
    for step in plan:
        for name, words in step.commands.items():
            assert words[words.index("--record") + 1] == str(tmp_path / f"{name}.json")


def test_an_unknown_step_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "enf", "--tiny", "--out", str(tmp_path)]) == 2
    assert "no step is called enf" in capsys.readouterr().err


# A rehearsal, and a kill


def gpu(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.gpu", *words], cwd=ROOT, env=environment, **options
    )


def test_what_was_measured_survives_a_kill(tmp_path: Path) -> None:
    process = gpu("--tiny", "--only", "env,ddpmpp,sd15", "--out", str(tmp_path), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 100
    while not (tmp_path / "env.json").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert any("bf16 TFLOP/s" in record or "fp32 TFLOP/s" in record for record in records)
    time.sleep(1)  # its step has ended with it: nothing is written any more
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    time.sleep(1)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_stopped_command_ends_its_steps(tmp_path: Path) -> None:
    process = gpu("--tiny", "--only", "ddpmpp", "--out", str(tmp_path), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (tmp_path / "ddpmpp.log").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


@pytest.mark.parametrize("module", ["__main__", "measure", "plan"])
def test_nothing_of_snakemake_is_imported(module: str) -> None:
    code = f"import sys, benchmarks.speed.gpu.{module}, benchmarks.speed.steps, benchmarks.speed.generation\n"
    code += "assert not [name for name in sys.modules if name.partition('.')[0] == 'snakemake']"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_command_itself_imports_no_package() -> None:
    """It must be able to report which one is missing."""
    code = "import sys, benchmarks.speed.gpu.__main__\n"
    code += "assert not {'torch', 'numpy', 'yaml', 'pydantic'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_case_has_its_counted_flops() -> None:
    for name, case in CASES.items():
        counts = recorded_flops(name)
        assert counts is not None and len(counts["short"]) == len(counts["longer"]) == case.settings.ratio


# Filing


def training(device: str = "a card", **changed: Any) -> dict[str, Any]:
    clock = {"wall": 2.0, "cpu": 1.0, "host": 0.5}
    record = {
        "command": "python -m benchmarks.speed.steps sid-ddpmpp-32 --side=ours",
        "case": "sid-ddpmpp-32",
        "variant": "",
        "batch": 256,
        "device": device,
        "date": "2026-01-01",
        "threads": 2,
        "load_before": [0.0, 0.0, 0.0],
        "versions": {"torch": "2.11.0"},
        "all seconds": {"ours": [clock, clock]},
        "seconds": {name: {"ours": value} for name, value in clock.items()},
        "images per second": {"ours": 128.0},
        "peak bytes": {"ours": 2**33},
        "profile": {"busy ms": 1500.0, "kernels": 7, "most": []},
        "flops": 4e14,
        "share of the matrix rate": 0.5,
        "matrix type": "bf16",
    }
    return record | changed


def straightforward(**changed: Any) -> dict[str, Any]:
    clock = {"wall": 8.0, "cpu": 1.0, "host": 1.0}
    record = training(command="python -m benchmarks.speed.steps sid-ddpmpp-32 --side=straightforward")
    record |= {"all seconds": {"straightforward": [clock]}, "peak bytes": {"straightforward": 2**34}}
    record["seconds"] = {name: {"straightforward": value} for name, value in clock.items()}
    return record | {"images per second": {"straightforward": 32.0}, "flops": None} | changed


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder as `make gpu` leaves it; no number in it was measured."""
    head = {"device": "a card", "date": "2026-01-01", "command": "python -m ..."}
    test = {"outcome": "passed", "seconds": 1.0}
    records = {
        "steps": {"seconds": 480, "tiny": False, "steps": [{"step": "env", "status": {"env": 0}, "seconds": 9.0}]},
        "env": {**head, "bf16 TFLOP/s": 700.0, "copy GB/s": 3000.0},
        "ddpmpp": training(),
        "ddpmpp-straightforward": straightforward(),
        "ddpmpp-nchw": training(variant="channels-first", unfinished=True),
        "tests": {**head, "counts": {"passed": 1, "failed": 1, "skipped": 0}, "tests": {"a": test, "b": test}},
        "mini": {**head, "suite": "mini", "runs": {"dmd/0": {"status": 0, "fd": {"here": 3.8, "CPU": 3.9}}}},
        "features": {**head, "relative difference to the CPU's features": 1e-6},
    }
    for name, record in records.items():
        atomic.write_json(tmp_path / "out" / f"{name}.json", record)
    (tmp_path / "records").mkdir()
    return tmp_path / "out"


def taken(out: Path) -> tuple[dict[str, dict[str, Any]], str]:
    records, shown = out.parent / "records", out.parent / "speed.md"
    page.take(out, records, shown)
    return {path.stem: json.loads(path.read_text()) for path in records.iterdir()}, shown.read_text()


def test_records_are_filed_and_shown(out: Path) -> None:
    records, shown = taken(out)
    both = records["sid-ddpmpp-32-cuda"]
    assert both["ratio"]["wall"] == 0.25 and both["peak bytes"] == {"ours": 2**33, "straightforward": 2**34}
    assert both["command"].endswith("--side=ours") and both["straightforward command"].endswith("straightforward")
    assert {"ceilings-cuda", "tests-cuda", "mini-cuda", "features-cuda", "gpu-steps"} < set(records)
    assert (
        "| SiD, DDPM++ | channels-first | 256 | 2.00 | 128.0 | 200 | 0.50 | 75 % (7 kernels) | 8.0 GiB (unfi" in shown
    )
    assert "bf16 TFLOP/s 700" in shown and "fd 3.8 (CPU 3.9)" in shown and "1 failed" in shown


def test_what_is_there_of_a_killed_run_is_filed(out: Path) -> None:
    for name in ("ddpmpp", "tests", "features", "mini"):
        (out / f"{name}.json").unlink()
    records, shown = taken(out)
    assert "ours" not in records["sid-ddpmpp-32-cuda"]["images per second"] and "ceilings" in shown


def test_sides_of_two_machines_have_no_ratio(out: Path) -> None:
    atomic.write_json(out / "ddpmpp-straightforward.json", straightforward(device="another card"))
    assert "ratio" not in taken(out)[0]["sid-ddpmpp-32-cuda"]


def test_a_rehearsal_is_not_filed(out: Path) -> None:
    atomic.write_json(out / "steps.json", {"seconds": 480, "tiny": True, "steps": []})
    with pytest.raises(Fault, match="rehearsal"):
        taken(out)


def test_another_folder_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--take", str(tmp_path)]) == 2
    assert str(tmp_path / "steps.json") in capsys.readouterr().err


def test_the_page_says_what_is_not_measured(tmp_path: Path) -> None:
    shown = page.page(tmp_path)
    assert all(f"| {title} | cuda | | not measured yet" in shown for title, _ in page.CASES.values())
    assert "`make gpu`" in shown.partition("## On a GPU")[2].partition("##")[0]

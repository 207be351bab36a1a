"""The measurements of a GPU, the most valuable first, and how they are run within a time budget.

A step names the seconds it needs and may take, predicted for one H100 or H200 with 16 cores. It is skipped when less is
left than it needs, and ended when its time is over.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sid.loop.parent import PR_SET_PDEATHSIG

SPARING = "precision=bf16 channels_last=true checkpointing=true split_backward=true first_moment=false"
PLAIN = "precision=bf16 channels_last=true first_moment=false"
STEPS = "benchmarks.speed.steps"
MEASURE = "benchmarks.speed.gpu.measure"
REHEARSAL_SECONDS = 120  # that a step may at least take on a CPU, which other work may share
SEGMENTS = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
POLL = 0.1
GRACE = 5.0  # seconds between asking a step to end and killing it: a trainer saves when it is asked


@dataclass(frozen=True)
class Step:
    """Commands that run in parallel: words after `python -m`, by the name of the record they write.

    A command writes its own record to the path of `--record`, again after each measurement.
    """

    name: str
    needs: int
    most: int
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StepPlaces:
    """Where and how the steps run."""

    out: Path
    shared: Path  # results in which `_shared` holds the miniature's teachers, extractors and pairs
    other: Path  # results in which the same runs were made on a CPU
    tiny: bool = False  # a rehearsal: small networks, on a CPU


def steps(places: StepPlaces) -> list[Step]:
    """All steps, in their order."""
    tiny = places.tiny
    ddpmpp, sd15, sdxl, dmd2 = "sid-ddpmpp-32", "sid-lsg-sd15", "sid-few-step-sdxl", "dmd2-sdxl"

    def training(name: str, needs: int, most: int, case: str, engine: str, *words: str, segments: bool = False) -> Step:
        if tiny and case == ddpmpp:
            engine = engine.replace("bf16", "fp32")  # a CPU takes six times as long for bfloat16's convolutions
        options = [f"--engine={word}" for word in engine.split()]
        device = ["--device=cpu", "--tiny", "--rounds=1", "--threads=1"] if tiny else ["--device=cuda"]
        commands = {name: tuple(_recorded([STEPS, case, *words, *options, *device], places, name))}
        return Step(name, needs, most, commands, SEGMENTS if segments else {})

    def straightforward(name: str, needs: int, most: int, case: str, rounds: int) -> Step:
        return training(name, needs, most, case, "", "--side=straightforward", f"--rounds={rounds}")

    def ours(name: str, needs: int, most: int, case: str, engine: str, *words: str, segments: bool = False) -> Step:
        return training(name, needs, most, case, engine, "--side=ours", *words, segments=segments)

    halves = ("--micro=1",) if tiny else ("--micro=128",)
    unlike = PLAIN.replace("channels_last=true ", "")
    three = ("--rounds=3",) if tiny else ("--rounds=3", "--profile")  # on a CPU one profile is rehearsed: it is slow
    plan = [
        _measure("env", 10, 60, places),
        _trust(places),
        ours("ddpmpp", 15, 60, ddpmpp, PLAIN, "--rounds=3", "--profile", *halves),
        straightforward("ddpmpp-straightforward", 15, 60, ddpmpp, 2),
        ours("sd15", 20, 80, sd15, PLAIN, *three),
        ours("sdxl", 30, 110, sdxl, SPARING, *three, *_batch(4, tiny), "--variant=batch-4", segments=True),
        straightforward("sd15-straightforward", 20, 60, sd15, 1),
        ours("ddpmpp-nchw", 15, 40, ddpmpp, unlike, "--rounds=3", *halves, "--variant=channels-first"),
        ours("sdxl-one", 30, 90, sdxl, SPARING, "--rounds=2", *three[1:], segments=True),
        _measure("features", 15, 60, places, *["--images=16"] * tiny),
        ours("ddpmpp-cudnn", 15, 40, ddpmpp, PLAIN, "--rounds=3", "--benchmark", *halves, "--variant=cudnn-benchmark"),
        ours("dmd2", 30, 100, dmd2, f"{SPARING} eight_bit=true", "--rounds=1", "--variant=eight-bit", segments=True),
        _sampling(places),
        straightforward("sdxl-straightforward", 30, 90, sdxl, 1),
    ]
    if tiny:
        return [replace(step, needs=1, most=max(step.most, REHEARSAL_SECONDS)) for step in plan]
    # Compiling takes minutes of a processor, and nothing of it can be rehearsed.
    whole = ours("ddpmpp-compiled", 60, 300, ddpmpp, f"{PLAIN} compile=true", "--rounds=3", *halves)
    words = {name: (*command, "--variant=compiled") for name, command in whole.commands.items()}
    plan.append(Step(whole.name, whole.needs, whole.most, words))
    tests = tuple(_tests(places, "tests-compiled", "settings2", 180))
    plan.append(Step("tests-compiled", 30, 200, {"tests-compiled": tests}))
    return plan


def _recorded(command: list[str], places: StepPlaces, name: str) -> list[str]:
    return [*command, "--record", str(places.out / f"{name}.json")]


def _measure(name: str, needs: int, most: int, places: StepPlaces, *words: str) -> Step:
    command = [MEASURE, name, *words, *["--tiny"] * places.tiny]
    return Step(name, needs, most, {name: tuple(_recorded(command, places, name))})


def _sampling(places: StepPlaces) -> Step:
    words = "--images 64 --batch 32 --tiny --threads=1" if places.tiny else "--images 4096 --batch 512"
    device = "cpu" if places.tiny else "cuda"
    command = ["benchmarks.speed.generation", "--rounds=1", *words.split(), "--device", device]
    return Step("sampling", 12, 60, {"sampling": tuple(_recorded(command, places, "sampling"))})


def _trust(places: StepPlaces) -> Step:
    """Whether the numbers are right: the CUDA tests, and six runs that a CPU also made. Nothing is timed."""
    commands = {"tests": tuple(_tests(places, "tests", "not settings2", 100))}
    words = ["--shared", str(places.shared), "--other", str(places.other), *["--tiny"] * places.tiny]
    commands["mini"] = tuple(_recorded([MEASURE, "mini", *words], places, "mini"))
    return Step("trust", 20, 130, commands)


def _tests(places: StepPlaces, name: str, chosen: str, limit: int) -> list[str]:
    """pytest with our plugin, which writes each outcome at once; its own plugins where they are installed."""
    words = ["pytest", "tests/sid/test_cuda.py", "-k", chosen, "-p", "no:cacheprovider", "-p", MEASURE]
    words += [f"--timeout={limit}"] if find_spec("pytest_timeout") else []
    words += ["-n", "4"] if find_spec("xdist") and not places.tiny else []
    return _recorded(words, places, name)


def _batch(count: int, tiny: bool) -> tuple[str, ...]:
    return () if tiny else (f"--batch={count}",)


@dataclass(frozen=True)
class TimeBudget:
    """Seconds for all steps, from `begin` (of time.monotonic)."""

    seconds: float
    begin: float

    def left(self) -> float:
        """Seconds that are left, without those that ending a step may take."""
        return self.seconds - (time.monotonic() - self.begin) - GRACE

    def run(self, step: Step, out: Path, environment: Mapping[str, str]) -> dict[str, Any]:
        """Runs a step's commands in parallel; their exit statuses, or why the step was skipped."""
        left = self.left()
        if left < step.needs:
            return {"step": step.name, "skipped": f"{max(left, 0):.0f} s are left and it needs {step.needs}"}
        began = time.monotonic()
        until = began + min(step.most, left)
        variables = {**environment, **step.environment}
        running = {name: _started(name, words, out, variables) for name, words in step.commands.items()}
        try:
            while time.monotonic() < until and any(process.poll() is None for process in running.values()):
                time.sleep(POLL)
            late = [name for name, process in running.items() if process.poll() is None]
        finally:
            _end(list(running.values()))
        row: dict[str, Any] = {
            "step": step.name,
            "status": {name: process.returncode for name, process in running.items()},
        }
        row["seconds"] = round(time.monotonic() - began, 1)
        return {**row, **({"ended": f"{', '.join(late)}: not done in {until - began:.0f} s"} if late else {})}


def _started(name: str, words: tuple[str, ...], out: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Starts a process group, so that its children can be ended with it; it also ends when this process is killed."""
    with open(out / f"{name}.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Asks every process group to end, then kills what is left of it."""
    for process in processes:
        _signal(process, signal.SIGTERM)
    until = time.monotonic() + GRACE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(until - time.monotonic(), 0.0))
    for process in processes:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)

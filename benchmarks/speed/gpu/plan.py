"""What a GPU is asked, the most valuable first: each step is a command, with the seconds it needs and may take.

The seconds were predicted for one H100 or H200 with 16 cores. A step is skipped when less is left than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

SPARING = "precision=bf16 channels_last=true checkpointing=true split_backward=true first_moment=false"
PLAIN = "precision=bf16 channels_last=true first_moment=false"
STEPS = "benchmarks.speed.steps"
GPU = "benchmarks.speed.gpu"
REHEARSED = 120  # seconds that a step may at least take on a CPU, which other work may share
SEGMENTS = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@dataclass(frozen=True)
class Step:
    """Commands that run beside each other: words after `python -m`, by the name of the record they write.

    A command writes its record itself, to the path that `--record` gives, anew after each measurement.
    """

    name: str
    needs: int
    most: int
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """Where and how the steps run."""

    out: Path
    shared: Path  # results in which `_shared` holds the miniature's teachers, extractors and pairs
    other: Path  # results in which the same runs were made on a CPU
    tiny: bool = False  # a rehearsal: small networks, on a CPU


def steps(setting: Setting) -> list[Step]:
    """All of them, in their order."""
    tiny = setting.tiny
    ddpmpp, sd15, sdxl, dmd2 = "sid-ddpmpp-32", "sid-lsg-sd15", "sid-few-step-sdxl", "dmd2-sdxl"

    def training(name: str, needs: int, most: int, case: str, engine: str, *words: str, segments: bool = False) -> Step:
        if tiny and case == ddpmpp:
            engine = engine.replace("bf16", "fp32")  # a CPU takes six times as long for bfloat16's convolutions
        options = [f"--engine={word}" for word in engine.split()]
        device = ["--device=cpu", "--tiny", "--rounds=1", "--threads=1"] if tiny else ["--device=cuda"]
        commands = {name: tuple(_recorded([STEPS, case, *words, *options, *device], setting, name))}
        return Step(name, needs, most, commands, SEGMENTS if segments else {})

    def straightforward(name: str, needs: int, most: int, case: str, rounds: int) -> Step:
        return training(name, needs, most, case, "", "--side=straightforward", f"--rounds={rounds}")

    def ours(name: str, needs: int, most: int, case: str, engine: str, *words: str, segments: bool = False) -> Step:
        return training(name, needs, most, case, engine, "--side=ours", *words, segments=segments)

    halves = ("--micro=1",) if tiny else ("--micro=128",)
    unlike = PLAIN.replace("channels_last=true ", "")
    three = ("--rounds=3",) if tiny else ("--rounds=3", "--profile")  # on a CPU one profile is rehearsed: it is slow
    plan = [
        _measure("env", 10, 60, setting),
        _trust(setting),
        ours("ddpmpp", 15, 60, ddpmpp, PLAIN, "--rounds=3", "--profile", *halves),
        straightforward("ddpmpp-straightforward", 15, 60, ddpmpp, 2),
        ours("sd15", 20, 80, sd15, PLAIN, *three),
        ours("sdxl", 30, 110, sdxl, SPARING, *three, *_batch(4, tiny), "--variant=batch-4", segments=True),
        straightforward("sd15-straightforward", 20, 60, sd15, 1),
        ours("ddpmpp-nchw", 15, 40, ddpmpp, unlike, "--rounds=3", *halves, "--variant=channels-first"),
        ours("sdxl-one", 30, 90, sdxl, SPARING, "--rounds=2", *three[1:], segments=True),
        _measure("features", 15, 60, setting, *["--images=16"] * tiny),
        ours("ddpmpp-cudnn", 15, 40, ddpmpp, PLAIN, "--rounds=3", "--benchmark", *halves, "--variant=cudnn-benchmark"),
        ours("dmd2", 30, 100, dmd2, f"{SPARING} eight_bit=true", "--rounds=1", "--variant=eight-bit", segments=True),
        _sampling(setting),
        straightforward("sdxl-straightforward", 30, 90, sdxl, 1),
    ]
    if tiny:
        return [replace(step, needs=1, most=max(step.most, REHEARSED)) for step in plan]
    # Compiling takes minutes of a processor, and nothing of it can be rehearsed.
    whole = ours("ddpmpp-compiled", 60, 300, ddpmpp, f"{PLAIN} compile=true", "--rounds=3", *halves)
    words = {name: (*command, "--variant=compiled") for name, command in whole.commands.items()}
    plan.append(Step(whole.name, whole.needs, whole.most, words))
    tests = tuple(_tests(setting, "tests-compiled", "settings2", 180))
    plan.append(Step("tests-compiled", 30, 200, {"tests-compiled": tests}))
    return plan


def _recorded(command: list[str], setting: Setting, name: str) -> list[str]:
    return [*command, "--record", str(setting.out / f"{name}.json")]


def _measure(name: str, needs: int, most: int, setting: Setting, *words: str) -> Step:
    command = [f"{GPU}.{name}", *words, *["--tiny"] * setting.tiny]
    return Step(name, needs, most, {name: tuple(_recorded(command, setting, name))})


def _sampling(setting: Setting) -> Step:
    words = "--images 64 --batch 32 --tiny --threads=1" if setting.tiny else "--images 4096 --batch 512"
    device = "cpu" if setting.tiny else "cuda"
    command = ["benchmarks.speed.generation", "--rounds=1", *words.split(), "--device", device]
    return Step("sampling", 12, 60, {"sampling": tuple(_recorded(command, setting, "sampling"))})


def _trust(setting: Setting) -> Step:
    """Whether the numbers are true there: the CUDA tests, beside six runs as a CPU made them. No timing is taken."""
    commands = {"tests": tuple(_tests(setting, "tests", "not settings2", 100))}
    words = ["--shared", str(setting.shared), "--other", str(setting.other), *["--tiny"] * setting.tiny]
    commands["mini"] = tuple(_recorded([f"{GPU}.mini", *words], setting, "mini"))
    return Step("trust", 20, 130, commands)


def _tests(setting: Setting, name: str, chosen: str, limit: int) -> list[str]:
    """pytest with a plugin of ours that writes each outcome at once; its own plugins where they are installed."""
    words = ["pytest", "tests/sid/test_cuda.py", "-k", chosen, "-p", "no:cacheprovider", "-p", f"{GPU}.outcomes"]
    words += [f"--timeout={limit}"] if find_spec("pytest_timeout") else []
    words += ["-n", "4"] if find_spec("xdist") and not setting.tiny else []
    return _recorded(words, setting, name)


def _batch(count: int, tiny: bool) -> tuple[str, ...]:
    return () if tiny else (f"--batch={count}",)

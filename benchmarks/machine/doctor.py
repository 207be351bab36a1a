"""Whether this machine is ready: each check is a function that yields findings with a line of advice.

`examine` runs them in order. Missing files are advice and break nothing: what needs them says so, and the rest runs.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Literal

from benchmarks.assets import DATA_ENV, DATA_FOLDER, WEIGHTS_ENV, data_roots, find, weights_folders
from benchmarks.hardware import cores
from benchmarks.machine import needs
from benchmarks.suite import files as suite_files
from benchmarks.suite.load import load_suite
from sid.fault import Fault

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(;)?", flags=re.MULTILINE)
DRIVER = Path("/proc/driver/nvidia/version")
PROFILES = (Path("profiles/default"), Path("workflow/profiles/default"))  # where Snakemake looks by itself
GIB = 2**30
ENOUGH_SPACE, LEAST_SPACE = 20 * GIB, GIB  # free bytes: advice below the first, broken below the second
SHOWN = 4  # names that a line lists


@dataclass(frozen=True)
class Finding:
    """The result of one look."""

    state: Literal["ok", "advice", "broken"]
    what: str
    advice: str = ""  # one line, what to do about it

    @property
    def line(self) -> str:
        return f"{self.state:<7} {self.what}" + (f": {self.advice}" if self.advice else "")


Findings = Iterator[Finding]


def python(project: Path = ROOT / "pyproject.toml", running: tuple[int, int] = sys.version_info[:2]) -> Findings:
    """The running Python against the one that the project requires."""
    required = _required(project)
    if required is None:
        yield Finding("advice", f"no {project.name} beside the code", "run from a checkout, or install a wheel of it")
        return
    low, high = (tuple(map(int, part)) for part in re.findall(r"(\d+)\.(\d+)", required))
    shown = ".".join(map(str, running))
    if low <= running < high:
        yield Finding("ok", f"Python {shown}")
    else:
        yield Finding(
            "broken", f"Python {shown}, the project needs {required}", "make the environment anew with one of those"
        )


def _required(project: Path) -> str | None:
    """The Pythons that the checkout's project file states, else the installed wheel, the lower bound first."""
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["requires-python"])
    try:
        return ",".join(sorted(metadata("sidbench")["Requires-Python"].split(","), reverse=True))
    except PackageNotFoundError:
        return None


def packages(lock: Path = ROOT / "requirements.lock", installed: Callable[[str], str] = version) -> Findings:
    """Installed versions against the lock. A package that the lock lists for some platforms only may be absent."""
    if not lock.is_file():
        yield Finding(
            "advice",
            f"no {lock.name} beside the code",
            "installed from a wheel: versions can't be compared; every record lists its own",
        )
        return
    pins: dict[str, list[str]] = {}  # one package may be pinned once for each range of Python
    everywhere = set()
    for name, pinned, marker in PINNED.findall(lock.read_text(encoding="utf-8")):
        pins.setdefault(name, []).append(pinned.partition("+")[0])
        everywhere |= set() if marker else {name}
    missing, other = [], []
    for name, versions in pins.items():
        try:
            present = installed(name).partition("+")[0]
        except PackageNotFoundError:
            missing += [name] if name in everywhere else []
            continue
        if present not in versions:
            other.append(f"{name} {present} (locked: {' or '.join(versions)})")
    remedy = f"pip install -r {lock.name}"
    if missing:
        yield Finding("broken", f"{len(missing)} packages of the lock are missing, {_some(missing)}", remedy)
    if other:
        yield Finding(
            "advice", f"{len(other)} packages are not as locked, {_some(other)}", f"for equal numbers, {remedy}"
        )
    if not missing and not other:
        yield Finding("ok", f"{len(pins)} packages as locked")


def devices(driver: Path = DRIVER) -> Findings:
    """GPUs that torch can use."""
    try:
        import torch
    except Exception as error:  # a broken build raises all kinds of errors
        yield Finding("broken", f"torch can't be imported ({str(error).splitlines()[0][:100]})", "install it anew")
        return
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        shown = f"cuda:{index} {facts.name}, {total / GIB:.0f} GiB, {free / GIB:.0f} free"
        if free < total / 2:
            yield Finding("advice", shown, "another process holds the rest: nvidia-smi names it")
        else:
            yield Finding("ok", shown)
    if torch.cuda.device_count():
        return
    if driver.exists():
        why = "this torch was built without CUDA" if torch.version.cuda is None else "torch can't use it"
        yield Finding("broken", f"there is an NVIDIA driver, but {why}", "install torch for that driver's CUDA")
    else:
        yield Finding(
            "advice", f"no GPU, {cores()} cores", "the miniature suites run here; the papers' suites need a GPU"
        )


def weights(named: str | None = None) -> Findings:
    """Weight files of a suite, else of all metrics and extractors."""
    for folder in weights_folders():
        if not folder.is_dir():
            text = f"${WEIGHTS_ENV} names {folder}, which is no folder"
            yield Finding("broken", text, "make it, or name another one")
    listed = needs.weights_of([named] if named else [])
    lacking = [weight.name for weight in listed if find(weight) is None]
    yield from _present("weight files", len(listed), lacking, named, "`sidbench weights {}` says how to get them")


def models(named: str | None = None) -> Findings:
    """Published teachers and generators of a suite."""
    if named is None:
        return
    listed = needs.models_of(load_suite(named))
    lacking = [source for source, sentences in listed.items() if sentences]
    yield from _present("published models", len(listed), lacking, named, "`sidbench plan {}` says how to get each")


def data(named: str | None = None) -> Findings:
    """Data sets and prompts of a suite, else of the project; a suite's are opened too."""
    for folder in data_roots():
        if folder != DATA_FOLDER and not folder.is_dir():
            text = f"${DATA_ENV} names {folder}, which is no folder"
            yield Finding("broken", text, "make it, or name another one")
    listed = needs.data_of_suite(load_suite(named)) if named else needs.data_of_project()
    lacking = [need.name for need in listed if need.missing]
    for sentence in (sentence for need in listed if named for sentence in need.verify()):
        yield Finding("broken", sentence, "`sidbench data` says where it comes from")
    remedy = "`sidbench data {}` says where they come from"
    yield from _present("data sets and prompt lists", len(listed), lacking, named, remedy)


def disk(results: Path = Path("results")) -> Findings:
    """Free space for results, and permission to write them."""
    home = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        yield Finding("broken", f"{home} can't be written", "name another folder with --results")
        return
    free = shutil.disk_usage(home).free
    shown = f"{free / GIB:.1f} GiB free for {results}"
    if free < LEAST_SPACE:
        yield Finding("broken", shown, "free some: a run's state alone may be larger")
    elif free < ENOUGH_SPACE:
        yield Finding("advice", shown, "enough for the miniatures; `sidbench plan SUITE` estimates what a suite takes")
    else:
        yield Finding("ok", shown)


def profile(given: Path | None = None) -> Findings:
    """Snakemake and its profile. Digests are passed as params, so a change of params must trigger a job."""
    try:
        yield Finding("ok", f"Snakemake {version('snakemake')}")
    except PackageNotFoundError:
        yield Finding("broken", "Snakemake is not installed", "pip install -r requirements.lock")
        return
    named = os.environ.get("SNAKEMAKE_PROFILE")
    folders = [given] if given else [Path(named)] if named else list(PROFILES)
    files = [
        file for folder in folders for pattern in ("profile*.yaml", "config*.yaml") for file in folder.glob(pattern)
    ]
    if not files:
        where = " and ".join(str(folder) for folder in folders)
        yield Finding("advice", f"no Snakemake profile in {where}", "run from the checkout, or give --profile FOLDER")
        return
    try:
        settings = suite_files.read(files[0])
    except Fault as fault:
        yield Finding("broken", fault.sentences[0], "the profile must be a YAML file of Snakemake's options")
        return
    triggers = settings.get("rerun-triggers") or ["code", "input", "mtime", "params", "software-env"]
    if "params" not in triggers:
        yield Finding("broken", f"{files[0]}: a changed recipe remakes nothing", "add params to rerun-triggers")
    elif "code" in triggers:
        remedy = "rerun-triggers: [mtime, params, input]"
        yield Finding("advice", f"{files[0]}: a reformatted rule remakes everything", remedy)
    else:
        yield Finding("ok", f"profile {files[0]}")


def examine(named: str | None, results: Path, snakemake_profile: Path | None) -> Findings:
    """Every check in order; weights, models and data are those of the suite `named`."""
    yield from python()
    yield from packages()
    yield from devices()
    yield from weights(named)
    yield from models(named)
    yield from data(named)
    yield from disk(results)
    yield from profile(snakemake_profile)


def _present(what: str, count: int, lacking: list[str], named: str | None, remedy: str) -> Findings:
    """How many of `count` files are present. `remedy` is the advice, with {} for the suite's name."""
    owner = f" of {named}" if named else ""
    shown = f"{count - len(lacking)} of {count} {what}{owner} present"
    if lacking and named:
        yield Finding("advice", f"{shown}, missing {_some(lacking)}", remedy.format(named))
    else:
        yield Finding("ok", shown if count else f"no {what}{owner} needed")


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

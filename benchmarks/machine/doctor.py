"""Whether this machine is ready: each check is a function that yields findings, each with one line of advice."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from benchmarks import assets
from benchmarks.suite import files as suite_files
from sid.fault import Fault

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(;)?", flags=re.MULTILINE)
DRIVER = Path("/proc/driver/nvidia/version")
PROFILES = (Path("profiles/default"), Path("workflow/profiles/default"))  # where Snakemake looks by itself
GIB = 2**30
ROOM, LEAST = 20 * GIB, GIB  # free bytes that suffice for a while, and below which a run may fail
SHOWN = 4


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    state: Literal["ok", "advice", "broken"]
    what: str
    advice: str = ""  # one line, what to do about it

    @property
    def line(self) -> str:
        return f"{self.state:<7} {self.what}" + (f": {self.advice}" if self.advice else "")


Found = Iterator[Finding]


def python(project: Path = ROOT / "pyproject.toml", running: tuple[int, int] = sys.version_info[:2]) -> Found:
    """The Python that the project was made for."""
    if not project.is_file():
        yield Finding("advice", f"no {project.name} beside the code", "run from a checkout: suites and rules lie there")
        return
    asked = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["requires-python"]
    low, high = (tuple(map(int, part)) for part in re.findall(r"(\d+)\.(\d+)", asked))
    shown = ".".join(map(str, running))
    if low <= running < high:
        yield Finding("ok", f"Python {shown}")
    else:
        yield Finding(
            "broken", f"Python {shown}, the project needs {asked}", "make the environment anew with such a one"
        )


def packages(lock: Path = ROOT / "requirements.lock", installed: Callable[[str], str] = version) -> Found:
    """Installed versions against the lock. What the lock asks for on some platforms only may be absent."""
    if not lock.is_file():
        yield Finding("advice", f"no {lock.name} beside the code", "versions can't be compared; records name them")
        return
    pins: dict[str, list[str]] = {}  # one package may be pinned once for each range of Python
    everywhere = set()
    for name, pinned, marker in PINNED.findall(lock.read_text(encoding="utf-8")):
        pins.setdefault(name, []).append(pinned.partition("+")[0])
        everywhere |= set() if marker else {name}
    missing, other = [], []
    for name, versions in pins.items():
        try:
            found = installed(name).partition("+")[0]
        except PackageNotFoundError:
            missing += [name] if name in everywhere else []
            continue
        if found not in versions:
            other.append(f"{name} {found} (locked: {' or '.join(versions)})")
    remedy = f"pip install -r {lock.name}"
    if missing:
        yield Finding("broken", f"{len(missing)} packages of the lock are missing, {_some(missing)}", remedy)
    if other:
        yield Finding(
            "advice", f"{len(other)} packages are not as locked, {_some(other)}", f"for equal numbers, {remedy}"
        )
    if not missing and not other:
        yield Finding("ok", f"{len(pins)} packages as locked")


def devices(driver: Path = DRIVER) -> Found:
    """Accelerators that torch can use."""
    try:
        import torch
    except Exception as error:  # a broken build raises what it likes
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
        cores = len(os.sched_getaffinity(0))
        yield Finding(
            "advice", f"no GPU, {cores} cores", "the miniature suites run here; the papers' suites need a GPU"
        )


def weights(named: str | None = None) -> Found:
    """Weight files that scores read, of a suite or of everything."""
    from benchmarks.assets import WEIGHTS_ENV, find
    from benchmarks.machine.needs import weights_of

    folder = os.environ.get(WEIGHTS_ENV)
    if folder and not Path(folder).is_dir():
        yield Finding("broken", f"${WEIGHTS_ENV} names {folder}, which is no folder", "make it, or name another one")
    found = weights_of([named] if named else [])
    lacking = [weight.name for weight in found if find(weight) is None]
    yield from _present("weight files", len(found), lacking, named, "`sidbench weights {}` tells how to get them")


def models(named: str | None = None) -> Found:
    """Published teachers and generators of a suite: a folder, a file, or a repository in the Hugging Face cache."""
    from benchmarks.assets import hub_cache

    if named is None:
        return
    wanted = published(named)
    held = hub_cache()
    lacking = [
        one for one in wanted if not (Path(one).exists() or (held / f"models--{one.replace('/', '--')}").is_dir())
    ]
    yield from _present("published models", len(wanted), lacking, named, "`sidbench plan {}` tells how to get each")


def published(named: str) -> list[str]:
    """Teachers and generators of others that a suite reads: folders, files, repositories."""
    from benchmarks.suite.load import load_suite
    from benchmarks.suite.released import describe

    suite = load_suite(named)
    opened = {suite.tasks[task].teacher for task, _, entry in suite.rows if not entry.released}
    wanted = [teacher.source for name, teacher in suite.teachers.items() if teacher.source and name in opened]
    described = [describe(entry.released) for *_, entry in suite.rows if entry.released]
    wanted += [part for one in described for part in (one.repository, one.base) if part]
    return list(dict.fromkeys(wanted))


def data(named: str | None = None) -> Found:
    """Data sets and prompts, of a suite or of everything; a suite's are opened too."""
    from benchmarks.machine import needs
    from benchmarks.suite.load import load_suite

    for folder in assets.data_roots():
        if folder != assets.DATA_FOLDER and not folder.is_dir():
            text = f"${assets.DATA_ENV} names {folder}, which is no folder"
            yield Finding("broken", text, "make it, or name another one")
    listed = needs.of_suite(load_suite(named)) if named else needs.of_all()
    lacking = [need.name for need in listed if need.missing]
    for sentence in (sentence for need in listed if named for sentence in need.verify()):
        yield Finding("broken", sentence, "sidbench data tells where it comes from")
    remedy = "`sidbench data {}` tells where they come from"
    yield from _present("data sets and prompt lists", len(listed), lacking, named, remedy)


def disk(results: Path = Path("results")) -> Found:
    """Room for results, and the right to write them."""
    home = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        yield Finding("broken", f"{home} can't be written", "name another folder with --results")
        return
    free = shutil.disk_usage(home).free
    shown = f"{free / GIB:.1f} GiB free for {results}"
    if free < LEAST:
        yield Finding("broken", shown, "make room: a run's state alone may be larger")
    elif free < ROOM:
        yield Finding("advice", shown, "enough for the miniatures; `sidbench plan SUITE` tells what a suite takes")
    else:
        yield Finding("ok", shown)


def profile(given: Path | None = None) -> Found:
    """Snakemake and the profile that it will use: digests stand in params, so changed params must make things anew."""
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
        yield Finding("broken", f"{files[0]}: a changed recipe makes nothing anew", "add params to rerun-triggers")
    elif "code" in triggers:
        remedy = "rerun-triggers: [mtime, params, input]"
        yield Finding("advice", f"{files[0]}: a reformatted rule makes everything anew", remedy)
    else:
        yield Finding("ok", f"profile {files[0]}")


def examine(named: str | None, results: Path, snakemake_profile: Path | None) -> Found:
    """Every check in order; a suite's weights and data where one is named."""
    yield from python()
    yield from packages()
    yield from devices()
    yield from weights(named)
    yield from models(named)
    yield from data(named)
    yield from disk(results)
    yield from profile(snakemake_profile)


def _present(what: str, count: int, lacking: list[str], named: str | None, remedy: str) -> Found:
    """Nothing is broken where a file is missing: what needs it says so, and the rest runs."""
    owner = f" of {named}" if named else ""
    shown = f"{count - len(lacking)} of {count} {what}{owner} present"
    if lacking and named:
        yield Finding("advice", f"{shown}, missing {_some(lacking)}", remedy.format(named))
    else:
        yield Finding("ok", shown if count else f"no {what}{owner} needed")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more

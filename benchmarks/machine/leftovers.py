"""What lies in a results tree that no suite needs any more: old digests, states, logs. Finds it, and takes it away.

Only what this project makes is judged, by its place and the shape of its name; links are left where they are. A
folder of a suite that neither ships nor was named keeps what is in it, and everything that suites share.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine.snakemake import OWN_LOCK
from benchmarks.suite import files
from benchmarks.suite.digests import DIGITS
from benchmarks.suite.job import SHARED, SHARED_KINDS
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan
from sid.fault import Fault, parsed
from sid.loop.lock import Lock

DIGEST = re.compile(f"[0-9a-f]{{{DIGITS}}}")
BESIDE = re.compile(r"\..+\.\d+\.(tmp|old)")  # what `sid.atomic` renames, left by a kill
OURS = ("runs", "state", "logs", "tables", "report")  # in the folder of a suite's results


@dataclass(frozen=True)
class Leftover:
    """A file or folder that no suite needs."""

    path: Path
    why: str
    size: int  # bytes of its files


@dataclass
class Cleaning:
    """What may go, and what was left alone for want of knowledge."""

    leftovers: list[Leftover] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)


def examine(results: Path, named: Sequence[str]) -> Cleaning:
    """Compares a results tree with the plans of the shipped suites and of the named ones."""
    plans = [Plan(load_suite(name), str(results)) for name in dict.fromkeys([*named, *files.names("suite")])]
    cleaning = Cleaning()
    strangers = list(_strangers(results, {plan.suite.name for plan in plans}, {str(name) for name in named}))
    for name in strangers:
        cleaning.left_alone.append(f"{name} neither ships nor was named: its results stay, and what suites share")
    entries: list[tuple[Path, str]] = []
    if not strangers and _is_folder(results / SHARED):
        entries += _shared(results / SHARED, {(job.kind, job.digest) for plan in plans for job in plan.jobs})
    for home in sorted({results / plan.suite.name for plan in plans}):
        if home.is_symlink():
            cleaning.left_alone.append(f"{home} is a link: what it leads to stays")
        elif home.is_dir():
            entries += _suite(home, [plan for plan in plans if plan.suite.name == home.name])
    cleaning.leftovers = [Leftover(path, why, _size(path)) for path, why in entries]
    return cleaning


def remove(leftovers: Sequence[Leftover], results: Path) -> None:
    """Takes them away, and the folders that are empty then; never what a link leads to."""
    root = os.path.realpath(results)
    for leftover in leftovers:
        if os.path.commonpath([root, os.path.realpath(leftover.path.parent)]) != root:
            raise Fault(f"{leftover.path} leads out of {results}: nothing there is touched")
        if leftover.path.is_dir() and not leftover.path.is_symlink():
            shutil.rmtree(leftover.path)
        else:
            leftover.path.unlink(missing_ok=True)
        _remove_empty(leftover.path.parent, results)


def refuse_at_work(results: Path) -> None:
    """A Fault that names everybody who works in the results, or on them from this folder."""
    locks = [path for path in (OWN_LOCK, *sorted(_locks(results))) if path.is_file() and not path.is_symlink()]
    sentences = []
    for path in locks:
        lock = Lock(path)
        with contextlib.closing(lock):
            if not lock.take():
                sentences.append(f"{lock.holder() or 'another process'} is at work ({path}): nothing is removed")
    if sentences:
        raise Fault(sentences)


def _locks(results: Path) -> Iterator[Path]:
    for home in results.iterdir() if results.is_dir() else ():
        if _is_folder(home) and _is_folder(home / "state"):
            yield from (path for path in _inside(home / "state") if path.suffix == ".lock")


def _strangers(results: Path, known: set[str], named: set[str]) -> Iterator[str]:
    """Suites with results here that neither ship nor were named: by their folders, and by who made a shared thing."""
    for home in sorted(results.iterdir()) if results.is_dir() else ():
        if home.name not in {*known, SHARED} and home.is_dir() and any((home / name).is_dir() for name in OURS[:3]):
            yield str(home)
    makers: dict[str, Path] = {}
    for kind in SHARED_KINDS:
        for folder in _folders(results / SHARED / kind):
            maker = _maker(folder)
            if maker and maker not in known and maker not in named:
                makers.setdefault(maker, folder)
    for maker, folder in sorted(makers.items()):
        name = _name_of(maker)
        if name is None or name not in known:
            yield f"the suite {maker}, which made {folder},"


def _maker(folder: Path) -> str:
    """The suite that a shared thing was made for, as its record's command names it; empty where none is known."""
    try:
        words = shlex.split(parsed((folder / "record.json").read_text())["command"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return words[2] if len(words) > 2 and words[:2] == ["sidbench", "prepare"] else ""


def _name_of(maker: str) -> str | None:
    """The name in a suite's file, if that can still be read from here."""
    try:
        return load_suite(maker).name
    except Fault:
        return None


def _shared(folder: Path, needed: set[tuple[str, str]]) -> Iterator[tuple[Path, str]]:
    for kind in SHARED_KINDS:
        why = f"{kind} that no suite needs"
        for place, ending in ((folder / kind, ""), (folder / "state" / kind, ""), (folder / "logs" / kind, ".log")):
            what = {folder / kind: why, folder / "logs" / kind: f"log of a {why}"}.get(place, f"state of a {why}")
            for path in _entries(place):
                name = path.name.removesuffix(ending) if ending else _of_state(path)
                if DIGEST.fullmatch(name) and (kind, name) not in needed:
                    yield path, what
        yield from _beside(folder / kind)


def _suite(home: Path, plans: Sequence[Plan]) -> Iterator[tuple[Path, str]]:
    """Of one suite's results: rows that it no longer has, results and states of other digests."""
    digests: dict[str, set[str]] = {}
    for plan in plans:
        for job in plan.of("run"):
            digests.setdefault(job.id, set()).add(job.digest)
    for path in _deep(home / "runs", 3):
        run, digest = "/".join(path.parts[-3:]), _recorded(path)
        if not path.is_dir() or not path.name.isdigit():
            continue
        if run not in digests:
            yield path, "run of a row that the suite no longer has"
        elif digest and digest not in digests[run]:
            yield path, f"run of the digest {digest}, which is {' or '.join(sorted(digests[run]))} now"
    for path in _deep(home / "state", 4):
        name = _of_state(path)
        if DIGEST.fullmatch(name) and name not in digests.get("/".join(path.parts[-4:-1]), ()):
            yield path, "state of a digest that the suite no longer has"
    for path in _deep(home / "logs", 3):
        if path.suffix == ".log" and path.stem.isdigit() and "/".join((*path.parts[-3:-1], path.stem)) not in digests:
            yield path, "log of a row that the suite no longer has"
    for name in OURS:
        yield from _beside(home / name)


def _of_state(path: Path) -> str:
    """The digest that a state's folder, its lock or a claim on that is named by."""
    return path.name.removesuffix(".claim").removesuffix(".lock")


def _recorded(folder: Path) -> str:
    """The digest in a run's record; empty where none can be read."""
    try:
        return str(parsed((folder / "record.json").read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _beside(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in _inside(folder):
        if BESIDE.fullmatch(path.name):
            yield path, "half-written, left by a kill"


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, without links; nothing where it is none."""
    if not _is_folder(folder):
        return []
    return sorted(path for path in folder.iterdir() if not path.is_symlink())


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _deep(folder: Path, levels: int) -> Iterator[Path]:
    """What lies so many levels below a folder, never through a link."""
    for path in _entries(folder):
        if levels == 1:
            yield path
        elif path.is_dir():
            yield from _deep(path, levels - 1)


def _inside(folder: Path) -> Iterator[Path]:
    """Everything below a folder, never through a link, and not what lies in half-written folders."""
    for path in _entries(folder):
        yield path
        if path.is_dir() and not BESIDE.fullmatch(path.name):
            yield from _inside(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _size(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    if not _is_folder(path):
        return path.lstat().st_size
    return sum(inner.lstat().st_size for inner in path.rglob("*") if not inner.is_dir())


def _remove_empty(folder: Path, results: Path) -> None:
    while folder != results and folder.name not in (SHARED, *OURS):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent

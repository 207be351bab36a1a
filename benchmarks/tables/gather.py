"""From what a user names, suites and result folders in any number, to the rows of each suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.suite import files
from benchmarks.suite.config import Suite
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan
from benchmarks.tables import committed, rows, runs
from benchmarks.tables.layout import Layout, layout_of
from benchmarks.tables.published import published
from benchmarks.tables.runs import Key, Run
from sid.fault import Fault


@dataclass
class Gathered:
    """One suite with all the runs that the named folders hold of it."""

    suite: Suite
    folders: list[Path] = field(default_factory=list)
    runs: Mapping[Key, Run] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Where its tables and page belong: the first folder that was named."""
        return self.folders[0]

    @property
    def layout(self) -> Layout:
        """The cells that the suite declares."""
        return layout_of(Plan(self.suite, str(self.home.parent)))

    def rows(self, compared: bool = True) -> list[rows.Row]:
        """All declared cells; `compared` with what is published and with the committed reference."""
        if not compared:
            return rows.build(self.layout, self.runs)
        return rows.build(self.layout, self.runs, published(), committed.read(self.suite.name))


def gather(named: Sequence[str], results: str, seeds: tuple[int, ...] = ()) -> list[Gathered]:
    """Each suite once, in the order of its first mention. `seeds` replace those of the suites."""
    found: dict[str, Gathered] = {}
    folders = []
    for name in named:
        if _is_folder(name):
            folders += _suite_folders(Path(name))
            continue
        suite = load_suite(name)
        found.setdefault(suite.name, Gathered(suite)).folders.append(Path(results) / suite.name)
    for folder in folders:
        name = runs.suite_name(folder)
        if name not in found:
            found[name] = Gathered(_suite_of(folder, name))
        found[name].folders.append(folder)
    for one in found.values():
        if seeds:
            one.suite = _reseeded(one.suite, seeds)
        one.folders = list(dict.fromkeys(one.folders))
        one.runs = runs.merge(one.folders)
        if not one.runs:
            places = ", ".join(str(folder) for folder in one.folders)
            raise Fault(f"{places}: no finished run; `snakemake --config suite={one.suite.name}` makes them")
    return list(found.values())


def _reseeded(suite: Suite, seeds: tuple[int, ...]) -> Suite:
    """The suite with other seeds, in all its tasks: one that makes do with fewer is compared with as many."""
    tasks = {name: task.model_copy(update={"seeds": None}) for name, task in suite.tasks.items()}
    return suite.model_copy(update={"seeds": seeds, "tasks": tasks})


def _is_folder(name: str) -> bool:
    """A suite's name is a suite even where a folder of that name lies about, unless runs lie in it."""
    path = Path(name)
    if name.endswith((".yaml", ".yml")):
        return False
    return (path / "runs").is_dir() or (name not in files.names("suite") and path.is_dir())


def _suite_folders(folder: Path) -> list[Path]:
    """A suite's folder itself, or all of those in a folder of results."""
    if (folder / "runs").is_dir():
        return [folder]
    found = [inner for inner in sorted(folder.iterdir()) if (inner / "runs").is_dir()]
    if not found:
        raise Fault(f"{folder}: holds no results (a suite's folder has a folder 'runs')")
    return found


def _suite_of(folder: Path, name: str) -> Suite:
    if name in files.names("suite"):
        return load_suite(name)
    raise Fault(f"{folder}: holds results of the suite '{name}', which does not ship; name its file too")

"""The rows of every suite that a user names, by the suite's name or by folders of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.suite import files
from benchmarks.suite.config import Suite
from benchmarks.suite.load import load_suite
from benchmarks.suite.plan import Plan
from benchmarks.tables import answers, committed, rows, runs
from benchmarks.tables.claims import Claim, papers
from benchmarks.tables.layout import Layout, layout_of
from benchmarks.tables.papers import published
from benchmarks.tables.runs import Key, Run
from sid.fault import Fault


@dataclass
class Gathered:
    """One suite with all its runs in the named folders."""

    suite: Suite
    folders: list[Path] = field(default_factory=list)
    runs: Mapping[Key, Run] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Where its tables and page are written: the first folder that was named."""
        return self.folders[0]

    @property
    def layout(self) -> Layout:
        """The cells that the suite declares."""
        return layout_of(Plan(self.suite, str(self.home.parent)))

    def rows(self, compared: bool = True) -> list[rows.Row]:
        """All declared cells, `compared` with the published numbers and the committed reference or with nothing."""
        if not compared:
            return rows.build(self.layout, self.runs)
        return rows.build(self.layout, self.runs, published(), committed.read(self.suite.name))

    def answers(self) -> tuple[list[answers.Answer], list[tuple[Claim, tuple[str, ...]]]]:
        """What the runs answer to the papers' claims, and the claims that need another suite's tasks."""
        cells, known = self.rows(compared=False), papers()
        return answers.answers(self.suite.name, cells, known), answers.untried(self.suite.name, cells, known)


def gather(
    named: Sequence[str], results: str, seeds: tuple[int, ...] = (), without_runs: bool = False
) -> list[Gathered]:
    """Each suite once, suites named by name before those of folders.

    Args:
        named: suites, folders of a suite's results, or folders that hold several of those.
        results: the folder in which the results of a suite named by name are.
        seeds: replace the seeds of every suite; empty keeps them.
        without_runs: whether a suite may have none, as for tables of what is printed.
    """
    suites: dict[str, Gathered] = {}
    folders = []
    for name in named:
        if _is_folder(name):
            folders += runs.suite_folders(Path(name))
            continue
        suite = load_suite(name)
        suites.setdefault(suite.name, Gathered(suite)).folders.append(Path(results) / suite.name)
    for folder in folders:
        name = runs.suite_name(folder)
        if name not in suites:
            suites[name] = Gathered(_suite_of(folder, name))
        suites[name].folders.append(folder)
    for gathered in suites.values():
        if seeds:
            gathered.suite = _reseeded(gathered.suite, seeds)
        gathered.folders = list(dict.fromkeys(gathered.folders))
        gathered.runs = runs.merge(gathered.folders)
        if not gathered.runs and not without_runs:
            places = ", ".join(str(folder) for folder in gathered.folders)
            raise Fault(f"{places}: no finished run; `sidbench reproduce {gathered.suite.name}` makes them")
    return list(suites.values())


def _reseeded(suite: Suite, seeds: tuple[int, ...]) -> Suite:
    """The suite with other seeds in all its tasks, also in those that declare fewer seeds of their own."""
    tasks = {name: task.model_copy(update={"seeds": None}) for name, task in suite.tasks.items()}
    return suite.model_copy(update={"seeds": seeds, "tasks": tasks})


def _is_folder(name: str) -> bool:
    """Whether a name is a folder; a shipped suite's name is the suite, unless a folder of that name holds runs."""
    path = Path(name)
    if name.endswith((".yaml", ".yml")):
        return False
    return (path / "runs").is_dir() or (name not in files.names("suite") and path.is_dir())


def _suite_of(folder: Path, name: str) -> Suite:
    if name in files.names("suite"):
        return load_suite(name)
    raise Fault(f"{folder}: holds results of the suite '{name}', which does not ship; name its file too")

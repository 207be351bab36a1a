"""Breaks the mathematics one line at a time and asks the tests whether they notice.

`python tests/mutations.py` applies each mutation to a copy of the tree, runs the test files that should catch it and
names the test that did. `--only N` runs one (see `--list`), `--missing` those that tests/mutations_report.md has no row
for, `--jobs N` several at a time; `--report` writes the rows to that file. A survivor makes the status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
REPORT = Path(__file__).with_name("mutations_report.md")
PARTS = ("sid", "baselines", "benchmarks", "tests", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Mutation:
    """`old`, which stands exactly once in the file, becomes `new`; `tests` are files or ids, `k` narrows them."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    k: str = ""

    @property
    def key(self) -> str:
        """Eight digits of a sha256 over everything but the words: a mutation that was changed has to be run again."""
        content = json.dumps([self.file, self.old, self.new, self.tests, self.k])
        return hashlib.sha256(content.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation: the test that failed, or why it survived."""

    number: int
    mutation: Mutation
    survived: bool
    test: str
    seconds: float

    def line(self) -> str:
        verdict = "SURVIVED" if self.survived else f"caught by {self.test}"
        return f"{self.number:3} {self.mutation.what}: {verdict} ({self.seconds:.0f} s)"


def load() -> list[Mutation]:
    """Those of mutations.yaml, in its order."""
    content = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [
        Mutation(
            entry["what"],
            file,
            entry["old"],
            entry["new"],
            tuple(content["tests"][name] for name in entry["tests"]),
            entry.get("k", ""),
        )
        for file, several in content["mutations"].items()
        for entry in several
    ]


def copy_tree(folder: Path) -> None:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, folder / part)


def run_tests(folder: Path, tests: tuple[str, ...], k: str = "") -> tuple[bool, str]:
    """Whether the tests pass in this process, which is spent by it, and the first that fails."""
    import pytest

    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    arguments = ["-x", "-q", "--tb=no", "-W", "ignore", "-p", "no:cacheprovider", *tests, *(["-k", k] if k else [])]
    with contextlib.redirect_stdout(io.StringIO()) as written, contextlib.redirect_stderr(written):
        status = pytest.main(arguments)
    printed = written.getvalue()
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise ValueError(f"no test matches -k '{k}' in {', '.join(tests)}")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", printed, re.MULTILINE)
    return status == pytest.ExitCode.OK, failed.group(1) if failed else printed[-1000:]


def tried(numbered: tuple[int, Mutation]) -> Outcome:
    """The mutation in a copy of the tree of its own, under its tests."""
    number, mutation = numbered
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        copy_tree(folder)
        path = folder / mutation.file
        text = path.read_text()
        if text.count(mutation.old) != 1:
            raise ValueError(f"'{mutation.what}': its text stands {text.count(mutation.old)} times in {mutation.file}")
        path.write_text(text.replace(mutation.old, mutation.new))
        survived, test = run_tests(folder, mutation.tests, mutation.k)
    return Outcome(number, mutation, survived, test, time.perf_counter() - begin)


def selections(mutations: list[Mutation]) -> Iterator[tuple[str, str]]:
    """Each test file with what picks the tests that any of the mutations relies on; nothing where one needs all."""
    for test in sorted({test for mutation in mutations for test in mutation.tests}):
        narrowed = {mutation.k for mutation in mutations if test in mutation.tests}
        yield test, "" if "" in narrowed else " or ".join(f"({k})" for k in sorted(narrowed))


def unchanged_faults(mutations: list[Mutation], processes: ProcessPoolExecutor) -> list[str]:
    """Tests that fail without any mutation: nothing can be said then."""
    with tempfile.TemporaryDirectory(prefix="unchanged-") as name:
        copy_tree(Path(name))
        running = [processes.submit(run_tests, Path(name), (test,), k) for test, k in selections(mutations)]
        outcomes = [process.result() for process in running]
    return [failed for passed, failed in outcomes if not passed]


def workers(jobs: int) -> ProcessPoolExecutor:
    """Processes that serve one task each, forked from one that has imported what every test imports."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "numpy", "scipy.stats", "pytest"])
    return ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1)


def row(outcome: Outcome) -> str:
    """The mutation's line of the report."""
    mutation = outcome.mutation
    caught = ("**no**", "-") if outcome.survived else ("yes", f"`{cell(outcome.test)}`")
    cells = [mutation.key, f"`{mutation.file}`", mutation.what, *caught, f"{outcome.seconds:.0f}"]
    return f"| {' | '.join(cells)} | {datetime.now(UTC):%Y-%m-%d} |"


def recorded() -> dict[str, str]:
    """The report's lines by their mutations' keys."""
    lines = REPORT.read_text(encoding="utf-8").splitlines() if REPORT.is_file() else []
    return {match[1]: line for line in lines if (match := re.match(r"\| ([0-9a-f]{8}) \|", line))}


def report(rows: dict[str, str], mutations: list[Mutation]) -> str:
    """The page: the line of each mutation that has one, in the order of mutations.yaml."""
    present = [rows[mutation.key] for mutation in mutations if mutation.key in rows]
    caught = sum("| **no** |" not in line for line in present)
    lines = [
        "# Mutations: does a test notice?",
        "",
        "Each row is one line of the mathematics broken in a copy of the tree (`tests/mutations.yaml` has the text),",
        "and the first test that failed. The unchanged tree passes the same tests first. Written by",
        "`python tests/mutations.py --report`; `--missing --report` adds the rows that new or changed mutations lack.",
        "",
        f"* **{caught} of {len(present)} caught**",
        f"* Last run on {os.cpu_count()} CPU cores ({platform.machine()}), shared with other work; no GPU; "
        f"Python {platform.python_version()}, torch {version('torch')}",
        "",
        "| key | file | what is broken | caught | by the test | seconds | date |",
        "|---|---|---|---|---|---|---|",
        *present,
    ]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="some mutations by their numbers")
    parser.add_argument("--missing", action="store_true", help="those that the report has no row for")
    parser.add_argument("--list", action="store_true", help="print the mutations")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time, each in its own copy")
    parser.add_argument("--report", action="store_true", help=f"write their rows to {REPORT.name} beside this file")
    args = parser.parse_args()
    numbered = list(enumerate(load(), 1))
    if args.list:
        print("\n".join(f"{number:3} {mutation.file}: {mutation.what}" for number, mutation in numbered))
        return 0
    chosen = numbered if args.only is None else [numbered[number - 1] for number in args.only]
    if args.missing:
        chosen = [(number, mutation) for number, mutation in chosen if mutation.key not in recorded()]
    survivors = 0
    with workers(args.jobs) as processes:
        if failed := unchanged_faults([mutation for _, mutation in chosen], processes):
            print(f"the unchanged tree fails {', '.join(failed)}: nothing can be said")
            return 1
        for outcome in processes.map(tried, chosen):
            print(outcome.line(), flush=True)
            survivors += outcome.survived
            if args.report:
                rows = recorded() | {outcome.mutation.key: row(outcome)}
                REPORT.write_text(report(rows, load()), encoding="utf-8")
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

"""Breaks the mathematics one line at a time and asks the tests whether they notice.

`python tests/mutations.py` applies each mutation to a copy of the tree, runs the test files that should catch it and
names the test that did. `--only N` runs one (see `--list`), `--jobs N` several at a time, `--report` writes what was
caught to tests/mutations_report.md. A survivor makes the status 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    """Whether they pass, and the first test that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-W", "ignore", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command += ["-k", k] if k else []
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=3600)
    if done.returncode == 5:
        raise SystemExit(f"no test matches -k '{k}' in {', '.join(tests)}")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    return done.returncode == 0, failed.group(1) if failed else done.stdout[-500:] + done.stderr[-500:]


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
            raise SystemExit(f"'{mutation.what}': its text stands {text.count(mutation.old)} times in {mutation.file}")
        path.write_text(text.replace(mutation.old, mutation.new))
        survived, test = run_tests(folder, mutation.tests, mutation.k)
    return Outcome(number, mutation, survived, test, time.perf_counter() - begin)


def selections(mutations: list[Mutation]) -> Iterator[tuple[str, str]]:
    """Each test file with what picks the tests that any of the mutations relies on; nothing where one needs all."""
    for test in sorted({test for mutation in mutations for test in mutation.tests}):
        narrowed = {mutation.k for mutation in mutations if test in mutation.tests}
        yield test, "" if "" in narrowed else " or ".join(f"({k})" for k in sorted(narrowed))


def unchanged_faults(mutations: list[Mutation], jobs: int) -> list[str]:
    """Tests that fail without any mutation: nothing can be said then."""
    with tempfile.TemporaryDirectory(prefix="unchanged-") as name:
        copy_tree(Path(name))
        with ThreadPoolExecutor(jobs) as pool:
            outcomes = pool.map(lambda chosen: run_tests(Path(name), (chosen[0],), chosen[1]), selections(mutations))
            return [failed for passed, failed in outcomes if not passed]


def report(outcomes: list[Outcome], seconds: float) -> str:
    """The run as a page."""
    caught = sum(not outcome.survived for outcome in outcomes)
    words = " ".join(sys.argv[1:])
    rows = [
        f"| {outcome.number} | `{outcome.mutation.file}` | {outcome.mutation.what} | "
        f"{'**no**' if outcome.survived else 'yes'} | `{'-' if outcome.survived else cell(outcome.test)}` | "
        f"{outcome.seconds:.0f} |"
        for outcome in outcomes
    ]
    lines = [
        "# Mutations: does a test notice?",
        "",
        "Each row is one line of the mathematics broken in a copy of the tree (`tests/mutations.yaml` has the text),",
        "and the first test that failed. The unchanged tree passes the same tests first. Written by the command.",
        "",
        f"* **{caught} of {len(outcomes)} caught**",
        f"* Command: `python tests/mutations.py {words}`",
        f"* Date: {datetime.now(UTC):%Y-%m-%d}; {seconds / 60:.0f} minutes in all",
        f"* Machine: {os.cpu_count()} CPU cores ({platform.machine()}), shared with other work; no GPU; "
        f"Python {platform.python_version()}, torch {version('torch')}",
        "",
        "| | file | what is broken | caught | by the test | seconds |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="some mutations by their numbers")
    parser.add_argument("--list", action="store_true", help="print the mutations")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time, each in its own copy")
    parser.add_argument("--report", action="store_true", help=f"write {REPORT.name} beside this file")
    args = parser.parse_args()
    numbered = list(enumerate(load(), 1))
    if args.list:
        print("\n".join(f"{number:3} {mutation.file}: {mutation.what}" for number, mutation in numbered))
        return 0
    chosen = numbered if args.only is None else [numbered[number - 1] for number in args.only]
    begin = time.perf_counter()
    if failed := unchanged_faults([mutation for _, mutation in chosen], args.jobs):
        print(f"the unchanged tree fails {', '.join(failed)}: nothing can be said")
        return 1
    outcomes = []
    with ThreadPoolExecutor(args.jobs) as pool:
        for outcome in pool.map(tried, chosen):
            outcomes.append(outcome)
            print(outcome.line(), flush=True)
    survivors = sum(outcome.survived for outcome in outcomes)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations caught")
    if args.report:
        REPORT.write_text(report(outcomes, time.perf_counter() - begin), encoding="utf-8")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

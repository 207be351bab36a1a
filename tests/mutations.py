"""Breaks the mathematics one line at a time and asks the tests whether they notice.

`python tests/mutations.py` applies each mutation to a copy of the tree, runs the test files that should catch it and
names the test that did. `--only N` runs one (see `--list`); a survivor makes the status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
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


def load() -> list[Mutation]:
    """Those of mutations.yaml, in its order."""
    told = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
    return [
        Mutation(
            one["what"],
            file,
            one["old"],
            one["new"],
            tuple(told["tests"][name] for name in one["tests"]),
            one.get("k", ""),
        )
        for file, several in told["mutations"].items()
        for one in several
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
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode == 5:
        raise SystemExit(f"no test matches -k '{k}' in {', '.join(tests)}")
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.MULTILINE)
    return done.returncode == 0, failed.group(1) if failed else done.stdout[-500:] + done.stderr[-500:]


def survives(mutation: Mutation) -> tuple[bool, str]:
    """Whether the tests pass in spite of the mutation, and which one did not."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        copy_tree(folder)
        path = folder / mutation.file
        text = path.read_text()
        if text.count(mutation.old) != 1:
            raise SystemExit(f"'{mutation.what}': its text stands {text.count(mutation.old)} times in {mutation.file}")
        path.write_text(text.replace(mutation.old, mutation.new))
        return run_tests(folder, mutation.tests, mutation.k)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, metavar="N", help="one mutation by its number")
    parser.add_argument("--list", action="store_true", help="print the mutations")
    args = parser.parse_args()
    numbered = list(enumerate(load(), 1))
    if args.list:
        print("\n".join(f"{number:3} {mutation.file}: {mutation.what}" for number, mutation in numbered))
        return 0
    chosen = numbered if args.only is None else [numbered[args.only - 1]]
    with tempfile.TemporaryDirectory(prefix="unchanged-") as name:
        copy_tree(Path(name))
        files = tuple(sorted({test for _, mutation in chosen for test in mutation.tests}))
        passed, failed = run_tests(Path(name), files)
        if not passed:
            print(f"the unchanged tree fails {failed}: nothing can be said")
            return 1
    survivors = 0
    for number, mutation in chosen:
        begin = time.perf_counter()
        survived, caught = survives(mutation)
        survivors += survived
        told = "SURVIVED" if survived else f"caught by {caught}"
        print(f"{number:3} {mutation.what}: {told} ({time.perf_counter() - begin:.0f} s)", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs what takes the machine for minutes, and writes the dated record docs/proofs.md. `make proof`; also one by one:

python -m tests.smoke.proofs [kills failures slurm words deployment hostile contents]

A record says when, at which commit, on which machine, with which command, for how long, and what was printed last.
Sections of proofs that are not run stay as they are. Nobody writes that page by hand.
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.hardware import device_name
from sid import atomic

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "proofs.md"
LINES = 40  # of the output that are kept
PROOFS = {  # name -> what it shows, and its command
    "kills": (
        "A suite killed 20 times, every second time in the first two seconds of a job, ends with the same bytes",
        ["tests/smoke/kill.py", "--kills", "20"],
    ),
    "failures": (
        "A full disk, sealed results, a flipped byte and two calls at once are told in a sentence and mended",
        ["tests/smoke/failures.py"],
    ),
    "slurm": ("Through a real SLURM, over two nodes, with a requeued job", ["tests/smoke/slurm.py"]),
    "words": (
        "The smoke suite below results of every awkward name gives the same bytes",
        ["-m", "tests.smoke.words"],
    ),
    "deployment": (
        "The smoke suite through conda (a stand-in), a bucket and a git module gives the same bytes",
        ["-m", "tests.smoke.deployment"],
    ),
    "hostile": ("Hostile pickles, suites, images and folders are refused in a sentence", ["-m", "tests.hostile"]),
    "contents": ("What a change of each of a user's files makes again", ["-m", "tests.smoke.contents"]),
}
HEAD = """# Proofs

What takes the machine for minutes is shown on demand. This page is written by `make proof` (`tests/smoke/proofs.py`), a
section for each proof at the time of its last run; their short forms are in the tests
(`tests/smoke/test_short_forms.py`). A proof without a section here has no record yet.
"""


def prove(name: str) -> tuple[bool, str]:
    """Runs a proof; whether it held, and its section of the page."""
    shows, words = PROOFS[name]
    begin = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seconds = time.monotonic() - begin
    outcome = "held" if done.returncode == 0 else f"FAILED (status {done.returncode})"
    if done.stdout.startswith("skipped"):
        outcome = "skipped"
    lines = nameless(done.stdout).strip().splitlines()
    left_out = [f"... {len(lines) - LINES} lines"] if len(lines) > LINES else []
    facts = f"{outcome}. {datetime.date.today().isoformat()}, commit {commit()}, {machine()}, {seconds:.0f} s"
    output = "\n".join([*left_out, *lines[-LINES:]])
    section = f"## {name}\n\n{shows}: {facts}.\n\n```\n$ python {' '.join(words)}\n{output}\n```\n"
    return done.returncode == 0, section


def nameless(output: str) -> str:
    """The output without the folders of this machine."""
    for folder, name in ((tempfile.gettempdir(), "TMP"), (str(ROOT), "."), (str(Path.home()), "~")):
        output = output.replace(folder, name)
    return output


def machine() -> str:
    """The processor, its cores and how busy they were."""
    return f"{device_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/proofs.md")
    return git("rev-parse", "--short=12", "HEAD") + (" with uncommitted changes" if changed else "")


def sections(page: str) -> dict[str, str]:
    """Those of a page, by the name of their proof."""
    parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]
    named = {part.partition("\n")[0].removeprefix("## "): part.rstrip("\n") + "\n" for part in parts}
    return {name: part for name, part in named.items() if name in PROOFS}


def write(name: str, section: str, page: Path = PAGE) -> None:
    """Replaces one section of the page."""
    known = sections(page.read_text()) if page.is_file() else {}
    known[name] = section
    atomic.write_text(page, "\n".join([HEAD, *(known[each] for each in PROOFS if each in known)]))


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in PROOFS]:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(PROOFS)}")
        return 2
    failed = 0
    for name in names or PROOFS:
        print(f"{name}: {PROOFS[name][0]} ...", flush=True)
        good, section = prove(name)
        write(name, section)
        print(section, flush=True)
        failed += not good
    print(f"{PAGE.relative_to(ROOT)} is written" + (f"; {failed} FAILED" if failed else ""))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Short forms of the proofs that `make proof` runs in full: three kills, a full disk, SLURM where it is installed.

Awkward names of results have theirs in tests/test_words.py, deployments in tests/test_deployment.py, hostile inputs in
tests/hostile/test_corpus.py, with the same inputs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.smoke import proofs, slurm

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def output(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_three_kills() -> None:
    said = output("tests/smoke/kill.py", "--kills", "3", "--images", "30000")
    assert re.search(r"3 kills", said) and "DIFFERENT" not in said and "identical" in said, said
    for what in ("the group", "the trainer", "the snakemake"):
        assert what in said, said


def test_a_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    subprocess.run(["umount", str(tmp_path)], check=True)
    assert "full_disk: as it should be" in output("tests/smoke/failures.py", "full_disk")


def test_slurm() -> None:
    if missing := [name for name in slurm.NEEDED if not shutil.which(name)]:
        pytest.skip(f"{', '.join(missing)} not installed")
    said = output("tests/smoke/slurm.py", "--short")
    if said.startswith("skipped"):
        pytest.skip(said.strip())
    assert "all as it should be" in said


def test_a_proofs_section_replaces_the_old_one_and_no_other(tmp_path: Path) -> None:
    page = tmp_path / "proofs.md"
    for name, text in (("words", "old"), ("kills", "first"), ("words", "new")):
        proofs.write(name, f"## {name}\n\n{text}\n", page)
    written = page.read_text()
    assert written.startswith("# Proofs") and "old" not in written
    assert list(proofs.sections(written)) == ["kills", "words"]


def test_a_record_is_of_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(proofs.PROOFS, "kills", ("Shows", ["-c", "print('no'); raise SystemExit(3)"]))
    good, section = proofs.prove("kills")
    assert not good and "FAILED (status 3)" in section and section.rstrip().endswith("no\n```")
    monkeypatch.setitem(proofs.PROOFS, "slurm", ("Shows", ["-c", "print('skipped: no SLURM')"]))
    assert "Shows: skipped." in proofs.prove("slurm")[1]


def test_the_page_is_the_commands_own() -> None:
    if proofs.PAGE.is_file():
        text = proofs.PAGE.read_text()
        assert text == "\n".join([proofs.HEAD, *proofs.sections(text).values()]), "written by hand"

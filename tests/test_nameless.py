"""A user without a name or a home, as the arbitrary id of a container: the command still works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.made_images import folder, made

ROOT = Path(__file__).parents[1]
# Python runs a file of this name in every process that starts, hence in Snakemake's and in the jobs' too.
STUB = """
import pwd

def nobody(*_):
    raise KeyError("getpwuid(): uid not found")

pwd.getpwuid = pwd.getpwnam = nobody
"""
NAMES = ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "MPLCONFIGDIR")
CALLS = """
import getpass, json, sys
from pathlib import Path
from benchmarks.cli import main

for call in (Path.home, getpass.getuser):
    try:
        raise SystemExit(f"there is a name or a home: {call()}")
    except (RuntimeError, KeyError, OSError):
        pass
for words, status in json.loads(sys.argv[1]):
    left = main(words)
    if left != status:
        raise SystemExit(f"{words}: left with {left}")
"""
LOOKING = [
    (["list"], 0),
    (["check", "mini"], 0),
    (["plan", "smoke", "--jobs"], 0),
    (["data", "sd15"], 0),
    (["weights", "sd15"], 0),
    (["fetch", "fid", "--dry-run"], 0),
    (["clean"], 2),  # there are no results
    (["score", "a", "--reference", "b", "--metrics", "fid", "--random-weights", "0"], 0),
    (["reproduce", "smoke", "-n", "--quiet"], 0),
    (["train", "sid", "--teacher", "digits-cond", "--out", "try"], 2),  # no suite has trained it here
]


@pytest.fixture
def nameless(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "sitecustomize.py").write_text(STUB)
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment = {name: value for name, value in environment.items() if not name.startswith(("XDG_", "SIDBENCH_"))}
    return environment | {"PYTHONPATH": f"{tmp_path / 'stub'}{os.pathsep}{ROOT}", "SIDBENCH_WEIGHTS": str(tmp_path)}


def test_verbs_work_without_a_name_and_a_home(nameless: dict[str, str], tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        folder(tmp_path / name, made(4, 16, 16, seed=number))
    words = [sys.executable, "-c", CALLS, json.dumps(LOOKING)]
    done = subprocess.run(words, cwd=tmp_path, env=nameless, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr and "no suite's teacher of that name" in done.stderr

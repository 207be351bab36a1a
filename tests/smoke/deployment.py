"""Makes the smoke suite, trainings included, each way that docs/deployment.md names, and compares it with a plain one.

Run on demand: python -m tests.smoke.deployment [conda storage module ...]

What a machine lacks is skipped and named. The conda is a stand-in: it makes an environment that is this Python.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUCKET = "bucket"
COMPARED = ("verdict.md", "verdict.csv", "curve.jsonl", "scores.json", "generator.safetensors")
# What Snakemake asks of conda; what is made and run is written down, a line of JSON each.
CONDA = """#!{python}
import hashlib, json, os, stat, sys
from pathlib import Path

words, home = sys.argv[1:], Path(__file__).parents[1]

def note(**what):
    with open(home / "calls", "a") as calls:
        calls.write(json.dumps(what) + "\\n")

if words[:2] == ["info", "--json"]:
    print(json.dumps(dict(conda_prefix=str(home), platform="linux-64")))
elif words == ["--version"]:
    print("conda 99.1.0")
elif words[0] == "clean":
    pass
elif words[0] == "config":
    print(json.dumps(dict(get=dict(channel_priority="strict"))))
elif words[:2] == ["env", "create"]:
    prefix, file = (words[words.index(name) + 1] for name in ("--prefix", "--file"))
    text = Path(file).read_text()
    note(what="create", file=text)
    tools = Path(prefix, "bin")
    tools.mkdir(parents=True)
    python = tools / "python"
    python.write_text(PYTHON.format(home=home))
    python.chmod(0o755)
else:
    sys.exit("no stand-in for conda " + " ".join(words))
"""
# Of the made environment: `pip install` is noted with the lock's content, everything else goes to this Python.
PYTHON = """#!/usr/bin/env bash
if [ "$2" = pip ]; then
  printf '{{"what": "pip", "sha256": "%s"}}\\n' "$(sha256sum "${{@: -1}}" | cut -c1-64)" >> "CALLS"
  exit
fi
printf '{"what": "python"}\\n' >> "CALLS"
exec "THIS" "$@"
"""
ACTIVATE = 'export PATH="$1/bin:$PATH"\n'
MODULE = """
configfile: "config/config.yaml"

module sidbench:
    snakefile: gitfile({repository!r}, path="workflow/Snakefile", commit={commit!r})
    config: config

use rule * from sidbench
"""


def conda_in(folder: Path) -> Path:
    """Writes a stand-in for conda; the folder to be put on PATH."""
    tools = folder / "bin"
    tools.mkdir(parents=True)
    python = PYTHON.replace("{{", "{").replace("}}", "}")
    python = python.replace("CALLS", str(folder / "calls")).replace("THIS", sys.executable)
    text = CONDA.replace("{python}", sys.executable).replace("PYTHON.format(home=home)", repr(python))
    (tools / "conda").write_text(text)
    (tools / "conda").chmod(0o755)
    (tools / "activate").write_text(ACTIVATE)
    return tools


def stored_in(bucket: Path) -> list[str]:
    """Flags of Snakemake for results in a bucket, which is a folder here."""
    bucket.mkdir(exist_ok=True)
    storage = ["--default-storage-provider", "fs", "--default-storage-prefix", str(bucket)]
    return [*storage, "--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache"]


def module_in(folder: Path, repository: Path, suite: str) -> None:
    """A project that uses the workflow as a module of a git repository, as snakedeploy writes one."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    with tempfile.TemporaryDirectory() as name:
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
        )
        for file in listed.stdout.splitlines():
            if file.startswith(("workflow/", "config/", "requirements.lock", "Snakefile")) and (ROOT / file).is_file():
                (Path(name) / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, Path(name) / file)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "workflow"]):
            subprocess.run([*git, *words], cwd=name, check=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=name, check=True, capture_output=True, text=True)
        subprocess.run(["git", "clone", "-q", name, str(repository)], check=True)
    commit = head.stdout.strip()
    (folder / "workflow").mkdir()
    (folder / "workflow" / "Snakefile").write_text(MODULE.format(repository=str(repository), commit=commit))
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(f"suite: {suite}\nresults: results\n")


def snakemake(folder: Path, *flags: str, **environment: str) -> bool:
    """Runs Snakemake there to its end; what it says is printed where it fails."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-m", "snakemake", *flags]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout + done.stderr)
        for log in folder.rglob("*.log"):
            print(log, log.read_text(errors="replace"))
    return done.returncode == 0


def files(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.name in COMPARED}


HERE = ("--snakefile", str(ROOT / "Snakefile"), "--config", "suite=smoke")


def conda(place: Path) -> dict[str, bytes]:
    tools = conda_in(place / "tools")
    snakemake(place / "conda", "--sdm", "conda", *HERE, PATH=f"{tools}:{os.environ['PATH']}")
    return files(place / "conda" / "results")


def storage(place: Path) -> dict[str, bytes]:
    snakemake(place / "storage", *stored_in(place / BUCKET), *HERE)
    return files(place / BUCKET / "results")


def module(place: Path) -> dict[str, bytes]:
    (place / "module").mkdir()
    module_in(place / "module", place / "repository", "smoke")
    snakemake(place / "module", "--cores", "all")
    return files(place / "module" / "results")


def lacking(way: str) -> str:
    """What this machine lacks for it; empty where nothing is."""
    if way == "storage" and importlib.util.find_spec("snakemake_storage_plugin_fs") is None:
        return "snakemake-storage-plugin-fs is not installed"
    if way == "storage" and shutil.which("rsync") is None:
        return "rsync is not installed"
    return ""


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if not snakemake(place / "plain", *HERE):
            return 1
        plain = files(place / "plain" / "results")
        for way in sys.argv[1:] or ("conda", "storage", "module"):
            if why := lacking(way):
                print(f"{way}: skipped: {why}")
                continue
            same = bool(plain) and {"conda": conda, "storage": storage, "module": module}[way](place) == plain
            print(f"{way}: {len(plain)} files {'identical' if same else 'DIFFERENT'}", flush=True)
            wrong += not same
    print("apptainer: untried: no image is published; docs/deployment.md says how to build one")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

"""The workflow where it is not run from its checkout: a conda, a bucket, a git repository, a container, a cluster.

Jobs are stand-ins (`tests.test_workflow`); `python -m tests.smoke.deployment` makes the smoke suite each way. What
can't run here is read and checked, and docs/deployment.md says what is untried.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.machine.config_words import DEFAULTS
from tests.smoke.deployment import BUCKET, conda_in, module_in, stored_in
from tests.test_workflow import ROOT, Place

LOCK = ROOT / "requirements.lock"


def all_made(results: Path) -> bool:
    return (results / "own" / "report" / "index.html").is_file() and len(list(results.rglob("scores.json"))) == 4


def test_conda_finds_the_lock_and_runs_the_jobs_in_its_environment(tmp_path: Path) -> None:
    """The stand-in makes the environment from Snakemake's copies of its two files, and marks what it runs."""
    place = Place(tmp_path / "here")
    tools = conda_in(tmp_path / "conda")
    said = place.snakemake("--sdm", "conda", "--cores", "2", PATH=f"{tools}:{os.environ['PATH']}")
    assert all_made(place.folder / "results"), said
    made = [json.loads(line) for line in (tmp_path / "conda" / "calls").read_text().splitlines()]
    assert [call["what"] for call in made].count("create") == 1
    (installed,) = [call for call in made if call["what"] == "pip"]
    assert installed["sha256"] == hashlib.sha256(LOCK.read_bytes()).hexdigest()
    assert sum(call["what"] == "python" for call in made) >= 8, "the jobs ran with the environment's python"


def test_another_lock_is_another_environment() -> None:
    script = (ROOT / "workflow" / "envs" / "sidbench.post-deploy.sh").read_text()
    assert hashlib.sha256(LOCK.read_bytes()).hexdigest() in script, "`make lock` writes it"
    environment = yaml.safe_load((ROOT / "workflow" / "envs" / "sidbench.yaml").read_text())
    by_hand = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["dependencies"] == [part for part in by_hand["dependencies"] if isinstance(part, str)]
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = re.findall(r'conda:\s+"([^"]+)"', rules)
    assert len(named) == len(re.findall(r"^rule \w+:", rules, flags=re.MULTILINE)) and set(named) == {
        "../envs/sidbench.yaml"
    }


@pytest.mark.skipif(importlib.util.find_spec("snakemake_storage_plugin_fs") is None, reason="no storage plugin fs")
@pytest.mark.skipif(shutil.which("rsync") is None, reason="the storage plugin fs needs rsync")
def test_results_in_a_bucket(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    flags = stored_in(tmp_path / BUCKET)
    place.snakemake(*flags, "--cores", "2", STORED="1")
    assert all_made(tmp_path / BUCKET / "results")
    assert not (place.folder / "results" / "own" / "runs").exists(), "nothing but logs and states lies here"
    assert "Nothing to be done" in place.snakemake(*flags, "--cores", "2", STORED="1")


def test_the_workflow_as_a_module_of_a_git_repository(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    module_in(place.folder, tmp_path / "repository", suite="suite.yaml")
    words = [sys.executable, "-m", "snakemake", "--cores", "2"]
    done = subprocess.run(words, cwd=place.folder, env=place.environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all_made(place.folder / "results")


def test_a_module_without_the_package_says_how_to_get_it(tmp_path: Path) -> None:
    module_in(tmp_path, tmp_path / "repository", suite="smoke")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "snakemake", "-n"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    if importlib.util.find_spec("sidbench") and "sidbench" in str(importlib.util.find_spec("sidbench").origin or ""):
        installed = subprocess.run([sys.executable, "-P", "-c", "import sidbench"], cwd=tmp_path, env=environment)
        if installed.returncode == 0:
            pytest.skip("sidbench is installed in this Python")
    assert done.returncode and "pip install 'sidbench[all]'" in done.stdout + done.stderr


def test_the_words_have_one_list() -> None:
    schema = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())
    shipped = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert set(schema["properties"]) == set(DEFAULTS) == set(shipped) and schema["additionalProperties"] is False
    assert shipped == DEFAULTS
    readme = (ROOT / "config" / "README.md").read_text()
    assert all(f"| `{word}` |" in readme for word in DEFAULTS)


def test_the_catalogues_layout() -> None:
    """What the workflow catalogue's checks read."""
    for name in ("README.md", "LICENSE", "workflow/Snakefile", "config/README.md", ".test/config/config.yaml"):
        assert (ROOT / name).is_file(), name
    for folder in ("rules", "envs", "schemas", "report", "profiles"):
        assert (ROOT / "workflow" / folder).is_dir(), folder
    catalogue = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert catalogue["software-stack-deployment"]["conda"] and catalogue["report"]
    tried = yaml.safe_load((ROOT / ".test" / "config" / "config.yaml").read_text())
    assert set(tried) <= set(DEFAULTS) and tried["suite"] == "smoke"


def test_the_catalogues_test_is_planned(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    words += ["--configfile", str(ROOT / ".test" / "config" / "config.yaml"), "--directory", str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "results/smoke/report/index.html" in done.stdout + done.stderr


def test_the_image_holds_the_lock_and_the_code() -> None:
    """Read, not built: no container engine is needed for the tests."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    assert {name for name, _, _ in steps} <= {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "CMD"}
    (base,) = [rest for name, _, rest in steps if name == "FROM"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python={base.partition(':')[2].partition('-')[0]}" in environment["dependencies"]
    order = [rest for name, _, rest in steps if name in ("COPY", "RUN")]
    assert order[0] == "requirements.lock ./" and "--require-hashes -r requirements.lock" in order[1]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "results/*", "!results/reference"} <= set(ignored)


def test_apptainer_without_an_image_is_a_sentence(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    words = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(ROOT / "Snakefile"), "--sdm", "apptainer"]
    words += ["--config", "suite=suite.yaml"]
    environment = place.environment()
    environment.pop("SIDBENCH_IMAGE", None)
    done = subprocess.run(words, cwd=place.folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode and "SIDBENCH_IMAGE names no image" in done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("snakemake_executor_plugin_kubernetes") is None, reason="no plugin")
def test_kubernetes_is_planned(tmp_path: Path) -> None:
    place = Place(tmp_path / "here")
    flags = [*stored_in(tmp_path / BUCKET), "--executor", "kubernetes", "--jobs", "4"]
    assert "results/own/report/index.html" in place.snakemake("-n", *flags, STORED="1")

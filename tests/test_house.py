"""The house in order: sizes, names, and one story told by lock, project file and conda file."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmarks.suite import files, schema
from benchmarks.suite.strict import numbers

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", flags=re.MULTILINE)


def tracked() -> list[Path]:
    """Files under version control that stand in the checkout, the new ones included."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_the_lock_satisfies_the_project() -> None:
    pinned: dict[str, set[str]] = {}
    for name, version in PINNED.findall(LOCK):
        pinned.setdefault(canonicalize_name(name), set()).add(version)
    asked = [Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
    assert len(asked) > 20
    for requirement in asked:
        versions = pinned.get(canonicalize_name(requirement.name))
        assert versions, f"{requirement.name} is not locked: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement} but {versions}"


def test_every_locked_package_has_hashes_and_no_host_is_named() -> None:
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    assert len(blocks) > 100
    for block in blocks:
        assert PINNED.match(block), block.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), f"{block.splitlines()[0]}: no hash"
    for name in ("requirements.lock", "pyproject.toml", "environment.yml", "Makefile"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"--(extra-)?index-url|--find-links|/simple\b|file://", text), f"{name} names an index"


def test_conda_installs_the_same_python_and_the_same_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock"]
    (python,) = [entry.partition("=")[2] for entry in plain if entry.startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{python}.0")
    assert {entry.split("=")[0] for entry in plain} == {"python", "pip"}, "everything else is locked by pip"


def test_the_makefile_accepts_the_same_pythons() -> None:
    lowest, highest = re.findall(r"(\d+)\.(\d+)", PROJECT["requires-python"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"({', '.join(lowest)}) <= sys.version_info < ({', '.join(highest)})" in makefile


def test_no_file_is_longer_than_300_lines() -> None:
    code = [path for path in tracked() if path.suffix in {".py", ".smk"} or path.name in {"Snakefile", "Makefile"}]
    assert len(code) > 40
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert not {name: lines for name, lines in long.items() if lines > 300}


def test_no_file_is_a_drawer() -> None:
    drawers = re.compile(r"(utils?|helpers?|misc|common)\.(py|smk)$")
    assert not [str(path) for path in tracked() if drawers.fullmatch(path.name)]


def test_nothing_is_left_unfinished_or_unsafe() -> None:
    marks = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", r"mark\.x" + "fail"]))
    unsafe = re.compile(r"\bpickle\.loads?\(|weights_only=False|yaml\.load\(|allow_pickle=True|shell=True")
    here = Path(__file__).resolve()
    for path in tracked():
        if path.suffix != ".py" or path == here:
            continue
        text = path.read_text(encoding="utf-8")
        assert not marks.search(text), f"{path}: {marks.search(text)}"
        if "tests" not in path.relative_to(ROOT).parts:
            assert not unsafe.search(text), f"{path}: {unsafe.search(text)}"


def test_the_schema_is_the_models() -> None:
    assert schema.SCHEMA.read_text(encoding="utf-8") == schema.text(), "run `make schemas`"
    assert json.loads(schema.text())["properties"]["entries"]["patternProperties"]


def test_the_schema_accepts_the_shipped_suites() -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(schema.text()))
    suites = sorted((ROOT / "benchmarks" / "suites").glob("*.yaml"))
    assert suites
    for file in suites:
        content = numbers(files.read(file))
        assert not list(validator.iter_errors(content)), file.name
    faulty = {"name": "x", "seeds": [0], "teachers": {}, "tasks": {}, "entries": {}, "sedes": 1}
    assert list(validator.iter_errors(faulty))


def test_the_root_snakefile_asks_for_the_workflows_targets() -> None:
    text = (ROOT / "Snakefile").read_text(encoding="utf-8")
    assert 'include: "workflow/Snakefile"' in text and "rules.all.input" in text
    assert (ROOT / "profiles" / "default" / "profile.yaml").is_file(), "the root Snakefile finds the profile here"

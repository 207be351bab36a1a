"""The house in order: sizes and names of files and classes, paths in the documentation, lock and project file agree."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from benchmarks.speed.gpu import packages
from benchmarks.suite import files, schema
from benchmarks.suite.strict import numbers

ROOT = Path(__file__).parents[1]
PACKAGES = ("sid", "baselines", "benchmarks", "sidbench")
LINES = 450
FOLDERS = "sid|sidbench|baselines|benchmarks|workflow|tests|docs|profiles|results/reference"
MADE_BY_EXAMPLES = {"baselines/my_method.py"}  # which `sidbench new` writes
CONTRACTS = {"Options"}  # class names that many files may define: a method's settings
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
    extras = PROJECT["optional-dependencies"]
    locked = [texts for name, texts in extras.items() if name != "docs"]  # the pages' builder has its own environment
    texts = [text for extra in locked for text in extra if not text.startswith("sidbench[")]
    asked = [Requirement(text) for text in PROJECT["dependencies"] + texts]
    assert len(asked) > 20
    (everything,) = (Requirement(text) for text in extras["all"])
    assert everything.extras == extras.keys() - {"all", "dev", "docs"}, (
        "sidbench[all] is every extra but the developers' tools"
    )
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


def test_every_place_accepts_the_same_pythons() -> None:
    accepted = SpecifierSet(PROJECT["requires-python"])
    pythons = [(3, minor) for minor in range(8, 20) if accepted.contains(f"3.{minor}.0")]
    assert pythons == list(packages.PYTHONS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (bounds,) = re.findall(r"\((\d+), (\d+)\) <= sys.version_info < \((\d+), (\d+)\)", makefile)
    lowest, highest = tuple(map(int, bounds[:2])), tuple(map(int, bounds[2:]))
    assert pythons == [(3, minor) for minor in range(8, 20) if lowest <= (3, minor) < highest]


def test_a_file_is_one_thought() -> None:
    code = [path for path in tracked() if path.suffix in {".py", ".smk"} or path.name in {"Snakefile", "Makefile"}]
    assert len(code) > 40
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    long = {name: count for name, count in lines.items() if count > LINES}
    assert not long, f"one thought a file; past {LINES} lines ask why: {long}"


def python_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = {}
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    twice = {name: files for name, files in places.items() if len(files) > 1 and name not in CONTRACTS}
    assert not twice, twice


def test_files_and_dicts_are_not_told() -> None:
    """A file or message states, reports or passes; a variable is named by its content."""
    count = {str(path.relative_to(ROOT)): len(re.findall(r"\btold\b", path.read_text())) for path in python_files()}
    assert sum(count.values()) <= 20, {name: number for name, number in count.items() if number}


def documents() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".md" and "results" not in path.relative_to(ROOT).parts]


def named_paths(text: str) -> set[str]:
    """Paths of the repository that a text names, braces expanded; a placeholder in capitals ends a path."""
    names = set()
    for match in re.finditer(rf"(?<![\w./-])(?:{FOLDERS})/[\w./{{}},*-]*", text):
        name = re.sub(r"/?[^/]*\b[A-Z]{2,}\b(?!\.md).*", "", match[0]).rstrip(".,")
        before, _, rest = name.partition("{")
        inside, _, after = rest.partition("}")
        names |= {before + part + after for part in inside.split(",")} if rest else {name}
    return names


def test_every_path_in_the_documentation_exists() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in documents()
        for name in sorted(named_paths(document.read_text(encoding="utf-8")) - MADE_BY_EXAMPLES)
        if not list(ROOT.glob(name.rstrip("/")))
    ]
    assert not missing, missing


def test_every_link_in_the_documentation_exists() -> None:
    for document in documents():
        prose = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"


def stands_in_the_code(name: str) -> bool:
    """`sid.losses.normaliser`: a module of that name, whose text has the rest."""
    path, parts = ROOT, name.split(".")
    while parts and (path / parts[0]).is_dir():
        path /= parts.pop(0)
    if parts and (path / f"{parts[0]}.py").is_file():
        path /= f"{parts.pop(0)}.py"
    elif parts:
        path /= "__init__.py"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return all(re.search(rf"\b{part}\b", text) for part in parts)


def test_every_dotted_name_in_the_documentation_exists() -> None:
    pattern = re.compile(rf"(?<![\w.@/-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+")
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in documents()
        for name in sorted(set(pattern.findall(document.read_text(encoding="utf-8"))))
        if not stands_in_the_code(name)
    ]
    assert not missing, missing


def test_the_readme_names_every_room_and_the_file_of_every_change() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = [path for path in (ROOT / "benchmarks").iterdir() if path.is_dir() and not path.name.startswith("_")]
    tree = text.partition("```\nsid/")[2].partition("```")[0]
    assert not [room.name for room in rooms if f" {room.name}/" not in tree]
    rows = [
        row.split("|")[1:3] for row in text.partition("| I want to change")[2].splitlines()[2:] if row.startswith("|")
    ]
    assert len(rows) > 12
    for change, places in rows:
        assert [path for path in named_paths(places) if list(ROOT.glob(path))], f"{change}: {places}"


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

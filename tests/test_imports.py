"""An import never climbs: workflow -> benchmarks -> baselines -> sid, and neither between the rooms of each.

A room is a file or folder of a package. Imports inside functions count; those for types alone do not.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"sid": 0, "baselines": 1, "benchmarks": 2, "sidbench": 3}
# A room imports from lower floors and from itself.
FLOORS = [
    {"assets", "hardware", "images"},
    {"data", "features", "metrics"},
    {"suite"},
    {"scoring", "tables", "estimate", "audit"},
    {"run", "machine", "report"},
    {"verbs", "speed"},
    {"cli"},
    {"__main__"},
]
# The maths are the other files at sid's top; they are one floor and may import each other.
MATHS = "maths"
SID_FLOORS = [
    {"fault"},
    {"atomic", "discovery", "draws", "releases"},
    {MATHS},
    {"style"},
    {"parallel", "methods", "teachers"},
    {"loop"},
]
# How many Python files there may be: a folder is a room, and a newcomer reads its top first.
MOST_AT_TOP = {"benchmarks": 8, "sid": 30}
MOST_IN_ALL = {"benchmarks": 220}
# Heavy or far packages, and the only places of `sid` that may import them (inside functions).
TEACHERS_ONLY = {"diffusers", "transformers", "peft"}
COMPONENTS = (
    "sid/methods",
    "sid/teachers",
    "baselines",
    "benchmarks/data",
    "benchmarks/features",
    "benchmarks/metrics",
)
PLANNING = ("benchmarks.suite.plan", "benchmarks.suite.components", "benchmarks.suite.load", "benchmarks.cli")


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Every imported module, or name of a module, and when: "early" with the file, "late" in a function, or "types"."""
    pending: list[tuple[ast.AST, str]] = [(tree, "early")]
    while pending:
        node, when = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((name.name, when) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", when
            yield from ((f"{node.module}.{name.name}", when) for name in node.names)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            when = "types"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when == "early":
            when = "late"
        pending += [(child, when) for child in ast.iter_child_nodes(node)]


@cache
def imported(path: Path) -> list[tuple[str, str]]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def modules() -> dict[str, Path]:
    """The project's modules by their dotted names."""
    paths = [path for package in PACKAGES for path in files(package)]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def edges(module: str) -> set[str]:
    """The project's modules that a module imports, early or late."""
    names = {name for name, when in imported(modules()[module]) if when != "types"}
    targets = {name for name in names if name in modules()}
    # `from a import b` names a and a.b: where a.b is a module, it alone is imported on purpose.
    packages = {name.rpartition(".")[0] for name in targets}
    return {name for name in targets if name not in packages or modules()[name].name != "__init__.py"} - {module}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_climbs_between_packages(package: str) -> None:
    climbing = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(package)
        for name, _ in imported(path)
        if PACKAGES.get(name.split(".")[0], -1) > PACKAGES[package]
    ]
    assert files(package) and not climbing, climbing


@pytest.mark.parametrize(("package", "floors"), [("benchmarks", FLOORS), ("sid", SID_FLOORS)])
def test_no_import_climbs_between_rooms(package: str, floors: list[set[str]]) -> None:
    level = {room: number for number, rooms in enumerate(floors) for room in rooms}

    def room(module: str) -> str | None:
        parts = module.split(".")
        if parts[0] != package or len(parts) == 1:
            return None
        return MATHS if parts[1] not in level and MATHS in level else parts[1]

    climbing, unknown = [], set()
    for module in modules():
        if (here := room(module)) is None:
            continue
        for target in sorted(edges(module)):
            if (there := room(target)) is None or there == here:
                continue
            if {here, there} - level.keys():
                unknown |= {here, there} - level.keys()
            elif level[there] >= level[here]:
                climbing.append(f"{module} imports {target}")
    assert not unknown, f"rooms without a floor: {sorted(unknown)}"
    assert not climbing, climbing


def test_no_circle() -> None:
    """Late imports included: a module reaches no other that reaches it."""
    graph = {module: edges(module) for module in modules()}
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        assert module not in path, f"a circle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for target in sorted(graph[module]):
                walk(target, [*path, module])
            done.add(module)

    for module in graph:
        walk(module, [])


def test_there_are_few_files() -> None:
    for package, most in MOST_AT_TOP.items():
        assert len(list((ROOT / package).glob("*.py"))) <= most, (
            f"more than {most} Python files at the top of {package}/"
        )
    for package, most in MOST_IN_ALL.items():
        assert len(files(package)) <= most, f"more than {most} Python files under {package}/"


def test_the_walk_sees_every_import() -> None:
    text = (
        "import a.b\nfrom c import d\n"
        "if TYPE_CHECKING:\n    import e\n"
        "def f():\n    from g import h\n"
        "class K:\n    import i\n"
    )
    expected = {"a.b": "early", "c": "early", "c.d": "early", "e": "types", "g": "late", "g.h": "late", "i": "early"}
    assert dict(imports(ast.parse(text))) == expected


def test_sid_knows_no_yaml_and_no_far_package() -> None:
    wrong = []
    for path in files("sid"):
        in_teachers = (ROOT / "sid" / "teachers") in path.parents
        for name, when in imported(path):
            package = name.split(".")[0]
            if package in {"yaml", "pydantic", "snakemake", "matplotlib", "jinja2"}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if package in TEACHERS_ONLY and (when == "early" or not in_teachers):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_component_files_import_no_torch_at_module_level() -> None:
    early = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in COMPONENTS
        for path in sorted((ROOT / folder).glob("*.py"))
        for name, when in imported(path)
        if when == "early" and name.split(".")[0] in {"torch", "torchvision", *TEACHERS_ONLY}
    ]
    assert not early, early


def test_rules_only_call_sidbench() -> None:
    for path in sorted((ROOT / "workflow").rglob("*.smk")):
        text = path.read_text(encoding="utf-8")
        assert "    run:" not in text and "    script:" not in text, f"{path.name}: a rule is a shell line"
        for line in text.split("    shell:\n")[1:]:
            assert line.strip().startswith("sidbench("), f"{path.name}: {line.strip().splitlines()[0]}"


@pytest.mark.parametrize("module", PLANNING)
def test_planning_leaves_torch_out(module: str) -> None:
    calls = {
        "benchmarks.suite.plan": "m.load_plan('smoke'); m.load_plan('mini')",
        "benchmarks.suite.components": "m.methods(); m.teachers(); m.extractors(); m.metrics()",
        "benchmarks.suite.load": "m.load_suite('mini')",
        "benchmarks.cli": "m.main(['list'])",
    }
    code = f"import sys, importlib\nm = importlib.import_module({module!r})\n{calls[module]}\n"
    code += "heavy = sorted({'torch', 'diffusers', 'transformers', 'scipy', 'sklearn'} & set(sys.modules))\n"
    code += "assert not heavy, heavy\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

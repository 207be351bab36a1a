"""An import never climbs: workflow -> benchmarks -> baselines -> sid, and planning knows no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {"sid": 0, "baselines": 1, "benchmarks": 2}
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


def imports(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Every imported module, and whether it is imported when the file is (not in a function or for types only)."""
    pending: list[tuple[ast.AST, bool]] = [(tree, True)]
    while pending:
        node, early = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((name.name, early) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", early
            yield from ((f"{node.module}.{name.name}", early) for name in node.names)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        pending += [(child, early and not inside and not typing_only) for child in ast.iter_child_nodes(node)]


def imported(path: Path) -> list[tuple[str, bool]]:
    return list(imports(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("floor", FLOORS)
def test_no_import_climbs(floor: str) -> None:
    found = files(floor)
    assert found
    climbing = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in found
        for name, _ in imported(path)
        if FLOORS.get(name.split(".")[0], -1) > FLOORS[floor]
    ]
    assert not climbing, climbing


def test_the_walk_sees_every_import() -> None:
    text = (
        "import a.b\nfrom c import d\n"
        "if TYPE_CHECKING:\n    import e\n"
        "def f():\n    from g import h\n"
        "class K:\n    import i\n"
    )
    found = dict(imports(ast.parse(text)))
    assert found == {"a.b": True, "c": True, "c.d": True, "e": False, "g": False, "g.h": False, "i": True}


def test_sid_knows_no_yaml_and_no_far_package() -> None:
    wrong = []
    for path in files("sid"):
        in_teachers = (ROOT / "sid" / "teachers") in path.parents
        for name, early in imported(path):
            package = name.split(".")[0]
            if package in {"yaml", "pydantic", "snakemake", "matplotlib", "jinja2"}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
            if package in TEACHERS_ONLY and (early or not in_teachers):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_component_files_import_no_torch_at_module_level() -> None:
    early = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in COMPONENTS
        for path in sorted((ROOT / folder).glob("*.py"))
        for name, early in imported(path)
        if early and name.split(".")[0] in {"torch", "torchvision", *TEACHERS_ONLY}
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

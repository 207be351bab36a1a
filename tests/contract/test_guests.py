"""Methods from elsewhere: entry points of other packages, `sidbench new`, and the documentation's example."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.cli import main
from benchmarks.suite.components import methods
from tests.contract import guests
from tests.contract.conftest import ROOT


def sidbench(*arguments: str, package: Path | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with a package installed beside it or none."""
    path = os.pathsep.join(map(str, [ROOT, *([package] if package else [])]))
    command = [sys.executable, "-m", "benchmarks", *arguments]
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def install(folder: Path, target: str, distribution: str = "elsewhere") -> None:
    """What pip leaves of a distribution that names `target` under the entry point group of methods."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sidbench.methods]\n{target.partition(':')[0]} = {target}\n")


def row(printed: str, name: str) -> list[str]:
    """The line of `sidbench list` about a method, in words."""
    return next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])


@pytest.mark.parametrize("target", ["fisher", "fisher:Fisher"])
def test_another_package_contributes_a_method(tmp_path: Path, target: str) -> None:
    """Named by its module or by its class."""
    guests.write(tmp_path)
    install(tmp_path, target)
    listed = sidbench("list", "methods", package=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert row(listed.stdout, "fisher")[1] == "1" and "2404.04057" in listed.stdout
    assert not any(line.split()[:1] == ["fisher"] for line in sidbench("list", "methods").stdout.splitlines())


def test_the_documented_suite_is_checked_and_planned(tmp_path: Path) -> None:
    guests.write(tmp_path)
    install(tmp_path, "fisher")
    suite = tmp_path / "fisher.yaml"
    suite.write_text(guests.documented("yaml"))
    checked = sidbench("check", str(suite), package=tmp_path)
    assert checked.returncode == 0 and "no fault" in checked.stdout, checked.stderr
    planned = sidbench("plan", str(suite), "--jobs", package=tmp_path)
    assert "digits-cond/fisher/0" in planned.stdout, planned.stderr

    wrong = yaml.safe_load(suite.read_text())
    wrong["entries"]["fisher"]["options"] = {"tmax": 700}
    suite.write_text(yaml.safe_dump(wrong))
    told = sidbench("check", str(suite), package=tmp_path)
    assert told.returncode == 2 and "unknown option of fisher 'tmax'; did you mean 't_max'?" in told.stderr


def test_the_example_is_short() -> None:
    code = [line for line in guests.documented("python").splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 40


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("import nowhere_to_be_found\n", "the package elsewhere: its entry point 'broken' can't be loaded"),
        ("raise RuntimeError('oh')\n", "the package elsewhere: its entry point 'broken' can't be loaded"),
        (None, "the package elsewhere: its entry point 'broken' can't be loaded"),
        (
            "from sid.method import Method\n\nclass Broken(Method):\n    name = 'broken'\n",
            "the package elsewhere: its entry point 'broken' can't be loaded",
        ),
    ],
    ids=["missing-import", "raises", "no-module", "abstract"],
)
def test_a_broken_package_is_named_in_a_sentence(tmp_path: Path, module: str | None, sentence: str) -> None:
    if module is not None:
        (tmp_path / "broken.py").write_text(module)
    install(tmp_path, "broken")
    told = sidbench("list", "methods", package=tmp_path)
    assert told.returncode == 2 and told.stderr.count("\n") == 1 and sentence in told.stderr, told.stderr


def test_a_name_that_is_taken_is_told(tmp_path: Path) -> None:
    guests.write(tmp_path)
    taken = (tmp_path / "fisher.py").read_text().replace('name = "fisher"', 'name = "sid"')
    (tmp_path / "fisher.py").write_text(taken)
    install(tmp_path, "fisher")
    told = sidbench("list", "methods", package=tmp_path)
    assert told.returncode == 2 and told.stderr.count("\n") == 1
    assert "two components are called 'sid': sid.methods.sid.Sid and fisher.Fisher" in told.stderr


# ---------------------------------------------------------------------------------------------------
# sidbench new


def test_new_writes_a_short_commented_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "method", "my-method", "--folder", str(tmp_path)]) == 0
    written = (tmp_path / "my_method.py").read_text()
    assert str(tmp_path / "my_method.py") in capsys.readouterr().out
    assert 'name = "my-method"' in written and "class MyMethod(Method)" in written and "$" not in written
    assert len(written.splitlines()) <= 70 and written.count("#") + written.count('"""') >= 12
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["metod", "x"], "unknown kind 'metod'; did you mean 'method'?"),
        (["method", "My Method"], "'My Method' can't name a method: use lower-case words"),
        (["method", "../escape"], "'../escape' can't name a method: use lower-case words"),
        (["method", "class"], "'class' can't name a method: use lower-case words"),
        (["method", "2fast"], "'2fast' can't name a method: use lower-case words"),
        (["method", "sid"], "there already is a method called 'sid'"),
        (["method", "x", "--folder", "no/such/folder"], "there is no folder no/such/folder"),
    ],
)
def test_new_refuses(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"sidbench: {sentence}")


def test_new_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "my_method.py").write_text("mine\n")
    assert main(["new", "method", "my-method", "--folder", str(tmp_path)]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "my_method.py").read_text() == "mine\n"


# ---------------------------------------------------------------------------------------------------
# sidbench list

EXPECTED = {
    *("sid", "sid-lsg", "sid-few-step", "sida", "sim"),
    *("diff-instruct", "vsd", "dmd", "dmd2", "consistency", "regression"),
    *("f-distill", "uni-instruct", "realuid"),
}


def test_list_methods_shows_them_all_without_torch() -> None:
    """Name, version and paper in a row each, within a second of computing (not of waiting for other processes)."""
    code = (
        "import sys, time; from benchmarks.cli import main\n"
        "status = main(['list', 'methods'])\n"
        "assert not {'torch', 'numpy', 'diffusers'} & set(sys.modules), 'heavy imports'\n"
        "assert time.process_time() < 1, 'slower than a second'\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert set(methods()) >= EXPECTED
    for name in EXPECTED:
        method, words = methods()[name], row(done.stdout, name)
        assert words[1] == str(method.version) and method.paper in done.stdout
        assert all(task in done.stdout for task in method.defaults)

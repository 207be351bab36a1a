"""The command line: sentences instead of tracebacks, and the right status."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks import cli
from benchmarks.data.open import datasets
from benchmarks.suite.components import extractors, methods, metrics, teachers
from sid.discovery import VERIFIED
from sid.fault import Fault

ROOT = Path(__file__).parents[1]


def sidbench(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command as a user calls it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60)


def reported(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The sentences about a mistake, on standard error alone, with status 2."""
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err


def test_no_argument_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    assert "usage: sidbench" in shown
    for verb in cli.names():
        assert verb in shown


def test_verbs_are_grouped_by_what_a_user_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert {name for group in cli.GROUPS.values() for name in group} == {*cli.names()}, "every verb, once"
    assert sum(map(len, cli.GROUPS.values())) == len(cli.names())
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert [title for title in cli.GROUPS if f"\n{title}:\n" in shown] == [*cli.GROUPS] and "more:" not in shown


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        cli.main(["--version"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert exit.value.code == 0 and capsys.readouterr().out == f"sidbench {version}\n"


@pytest.mark.parametrize(("package", "extra"), [("snakemake", "workflow"), ("sklearn.datasets", "data")])
def test_a_missing_package_names_the_extra_that_brings_it(
    package: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(arguments: object) -> int:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(cli, "run", raises)
    sentence = reported(capsys, "list")
    assert f"package {package.partition('.')[0]}, which is not installed: pip install 'sidbench[{extra}]'" in sentence


def test_every_extra_of_a_missing_package_is_one_of_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*cli.EXTRAS.values()} == project["optional-dependencies"].keys() - {"all", "dev", "docs"}


def test_a_list_of_jobs_says_what_a_digest_is_and_calls_things_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "smoke", "--jobs"]) == 0
    shown = capsys.readouterr().out
    assert "teacher digits-cond, seed 0" in shown and "feature network digits-classifier, seed 0" in shown
    assert shown.count("A digest names everything that decides a job's result") == 1


def test_the_extents_of_verification_are_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    for kinds, count in (([], 1), (["methods"], 1), (["suites"], 0)):
        assert cli.main(["list", *kinds]) == 0
        assert capsys.readouterr().out.count(VERIFIED["layout"]) == count


@pytest.mark.parametrize("verb", cli.names())
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = cli.load(verb)
    assert "\n" not in module.HELP and module.EXAMPLE.startswith(f"sidbench {verb}")
    with pytest.raises(SystemExit) as exit:
        cli.main([verb, "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    assert module.EXAMPLE in shown and "--results" in shown


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lst"], "sidbench: unknown verb 'lst'; did you mean 'list'?\n"),
        (["--results", "x", "chekc"], "sidbench: unknown verb 'chekc'; did you mean 'check'?\n"),
        (["list", "metods"], "sidbench: unknown kind 'metods'; did you mean 'methods'?\n"),
        (["check", "minni"], "sidbench: unknown suite 'minni'; did you mean 'mini'?\n"),
        (["check", "none.yaml"], "sidbench: there is no suite file 'none.yaml'\n"),
        (["check"], "sidbench: the following arguments are required: SUITE (try sidbench check --help)\n"),
        (["list", "--wrong"], "sidbench: unknown option '--wrong' (try sidbench list --help)\n"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(capsys, *arguments) == sentence


@pytest.mark.parametrize(
    ("raised", "status", "sentence"),
    [
        (Fault(["one thing", "another"]), 2, "sidbench: one thing\nsidbench: another\n"),
        (KeyboardInterrupt(), 130, "sidbench: interrupted; the same command goes on from here\n"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 2, "sidbench: cannot use a/b: Permission denied\n"),
        (OSError(errno.ENOSPC, "No space left on device", "c"), 2, "sidbench: cannot use c: No space left on device\n"),
    ],
)
def test_how_it_leaves(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    status: int,
    sentence: str,
) -> None:
    def run(arguments: object) -> int:
        raise raised

    monkeypatch.setattr(cli, "run", run)
    assert cli.main([]) == status
    assert capsys.readouterr().err == sentence


def test_a_programming_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: object) -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "x")

    monkeypatch.setattr(cli, "run", run)
    with pytest.raises(FileNotFoundError):
        cli.main([])


def test_list_names_every_component_without_torch() -> None:
    code = (
        "import sys\n"
        "from benchmarks.cli import main\n"
        "assert main(['list']) == 0\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'diffusers', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    for components in (methods(), teachers(), extractors(), metrics(), datasets()):
        assert set(components) <= listed


def test_the_reader_may_leave() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -m benchmarks plan mini --outputs | head -n 1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    done = sidbench("reproduce", "smoke", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "results" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("suite", ["mini", "smoke"])
def test_the_shipped_suites_have_no_fault(suite: str) -> None:
    done = sidbench("check", suite)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "no fault" in done.stdout


def test_check_knows_the_players_of_a_method(tmp_path: Path) -> None:
    suite = "name: own\nextends: smoke\nentries:\n  sid: {stop_players: {critik: 0.5}}\n"
    (tmp_path / "own.yaml").write_text(suite)
    done = sidbench("check", "own.yaml", cwd=tmp_path)
    assert done.returncode == 2
    for part in ("own.yaml", "entries.sid.stop_players.critik", "'critik'", "'critic'?"):
        assert part in done.stderr
    assert done.stderr.count("\n") == 1

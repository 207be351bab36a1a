"""Every method keeps the contract, whoever wrote it: no test here knows any of them by name."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sid.method import Method
from tests.contract import declared, trained
from tests.contract.conftest import ROOT
from tests.contract.two_processes import STRATEGIES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("check", declared.CHECKS, ids=lambda check: check.__name__)
def test_declared(method: Method, check: Callable[[Method], None]) -> None:
    check(method)


@pytest.mark.parametrize("check", trained.CHECKS, ids=lambda check: check.__name__)
def test_trained(method: Method, check: Callable[[Method, Path], None], tmp_path: Path) -> None:
    check(method, tmp_path)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_train_as_one(
    method: Method,
    strategy: str,
    trained_by_one: dict[str, dict[str, Any]],
    trained_by_two: dict[tuple[str, str], list[dict[str, Any]]],
    tmp_path: Path,
) -> None:
    """Both end with the same bits, and with those of one process; a method whose split matters keeps the split."""
    first, second = trained_by_two[method.name, strategy]
    assert torch.equal(first["weights"], second["weights"])
    if method.name not in trained_by_one:
        split = trained.BATCH // 2 if method.split_matters else None
        trained_by_one[method.name] = trained.all_splits(method, tmp_path, split)
    trained.assert_the_same_training(trained_by_one[method.name], first)


def test_files_and_faults_do_without_torch(under_contract: dict[str, Method], guest_folder: Path) -> None:
    """`sidbench list` and `sidbench check` ask every method, and torch would take seconds."""
    code = """
        import importlib, sys
        from tests.contract import declared, guests

        from benchmarks.suite import components

        assert components.methods() and "torch" not in sys.modules, "discovery imports torch"
        for name in sys.argv[1:]:
            method = guests.method_in(importlib.import_module(name))
            assert "torch" not in sys.modules, f"{name} imports torch"
            for task in declared.tasks_of(method):
                for teacher in declared.TEACHERS:
                    method.faults(method.options(task), teacher)
            assert "torch" not in sys.modules, f"the faults of {method.name} import torch"
    """
    modules = [type(method).__module__ for method in under_contract.values()]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{guest_folder}"}
    command = [sys.executable, "-c", textwrap.dedent(code), *modules]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

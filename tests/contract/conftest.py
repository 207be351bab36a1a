"""Every method under contract: the discovered ones, the one `sidbench new` writes, and the documented one."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.suite.components import methods
from sid.method import Method
from tests.contract import guests
from tests.contract.two_processes import STRATEGIES

ROOT = Path(__file__).parents[2]
NAMES = (*methods(), guests.WRITTEN, guests.DOCUMENTED)


@pytest.fixture(scope="session")
def guest_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path whose modules are methods of their own."""
    folder = tmp_path_factory.mktemp("guests")
    guests.write(folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def under_contract(guest_folder: Path) -> dict[str, Method]:
    outside = {
        name: guests.method_in(importlib.import_module(name.replace("-", "_")))
        for name in (guests.WRITTEN, guests.DOCUMENTED)
    }
    return {**methods(), **outside}


@pytest.fixture(params=NAMES)
def method(request: pytest.FixtureRequest, under_contract: dict[str, Method]) -> Method:
    return under_contract[request.param]


@pytest.fixture(scope="session")
def trained_by_one() -> dict[str, dict[str, Any]]:
    """What one process ended with, by method: filled by the first strategy that asks, for all of them."""
    return {}


@pytest.fixture(scope="session")
def trained_by_two(
    under_contract: dict[str, Method], guest_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What each of two processes ended with, by method and strategy: all of them in one launch."""
    import torch

    folder = tmp_path_factory.mktemp("two")
    modules = {name: type(method).__module__ for name, method in under_contract.items()}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launch, "-m", "tests.contract.two_processes", str(folder), *modules.values()]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{guest_folder}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return {
        (name, strategy): [torch.load(folder / f"{module}-{strategy}-{rank}.pt", weights_only=True) for rank in (0, 1)]
        for name, module in modules.items()
        for strategy in STRATEGIES
    }

"""One thread a process: two cores are for everybody. Interrupts arrive, even where the tests run in the background."""

import os
import signal
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

# A shell starts background commands with SIGINT ignored, and every process started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in: no data, no weights, no cache of models, nobody's home."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIDBENCH_DATA", "SIDBENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: of the processes that share the files, none is left alone with a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)

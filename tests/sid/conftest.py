"""Tiny pipelines on disk, made once for the session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """name -> the folder of that tiny pipeline; read only."""
    from tests.sid.teachers import tiny_pipelines

    root = tmp_path_factory.mktemp("pipelines")

    def folder(name: str) -> Path:
        return root / name if (root / name).exists() else tiny_pipelines.save(name, root)

    return folder

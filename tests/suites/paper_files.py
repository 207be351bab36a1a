"""A file, of a few bytes, in every place where a plan of a paper's suite looks for published models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.suite import components
from benchmarks.suite.config import Suite
from benchmarks.suite.released import describe


def write(suite: Suite, hub: Path, weights: Path) -> None:
    """Pickles into the folder of weights, everything else into a Hugging Face cache."""
    families: dict[str, Any] = dict(components.teachers())
    for teacher in suite.teachers.values():
        if teacher.source is not None and teacher.source.endswith(".pkl"):
            _put(weights / Path(teacher.source).name)
        elif teacher.source is not None:
            _pipeline(hub, teacher.source, families[teacher.family])
    for described in (describe(entry.released) for *_, entry in suite.rows if entry.released):
        for file in filter(None, (described.file, described.config)):
            _put(_snapshot(hub, str(described.repository)) / file)
        base = described.repository if described.kind == "pipeline" else described.base
        if base is not None:
            _pipeline(hub, base, families[described.family])


def _pipeline(hub: Path, repository: str, family: Any) -> None:
    folder = _snapshot(hub, repository)
    _put(folder / "model_index.json")
    for part in (family.part, "scheduler", "vae", *(name for pair in family.encoders for name in pair)):
        for name in ("config.json", "diffusion_pytorch_model.safetensors", "model.safetensors"):
            _put(folder / part / name)


def _snapshot(hub: Path, repository: str) -> Path:
    home = hub / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True, exist_ok=True)
    (home / "refs" / "main").write_text("1")
    return home / "snapshots" / "1"


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)

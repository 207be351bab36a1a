"""record.json beside every artefact: its recipe, versions, commit, packages, device, cost and command line."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.hardware import device_name
from sid import atomic
from sid.loop.settings import LoopSettings
from sid.method import Adapters

if TYPE_CHECKING:
    from benchmarks.suite.job import Job
    from sid.loop.trainer import Trained


PACKAGES = ("torch", "numpy", "scipy", "diffusers", "transformers", "scikit-learn", "snakemake", "sidbench")
# Variables that set the number of threads.
THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def record(job: Job, command: str, seconds: float, peak_memory: int, **measured: Any) -> dict[str, Any]:
    """Where a number comes from and what it cost. `measured` adds keys."""
    commit, dirty = _commit()
    return {
        "command": command,
        "digest": job.digest,
        "recipe": {name: value for name, value in job.params.items() if name not in ("folder", "state")},
        "versions": dict(job.versions),
        "seed": job.params.get("seed"),
        "commit": commit,
        "dirty": dirty,
        "packages": _packages(),
        "device": device_name(),
        "threads": threads(),
        "seconds": round(seconds, 3),
        "device_hours": round(seconds / 3600, 6),
        "peak_memory_bytes": peak_memory,
        **measured,
    }


def write_record(job: Job, command: str, seconds: float, peak_memory: int = 0, **measured: Any) -> None:
    """The record into the job's folder: the last file that a job writes."""
    atomic.write_json(job.folder / "record.json", record(job, command, seconds, peak_memory, **measured))


def recipe(params: Mapping[str, Any]) -> LoopSettings:
    """The training loop's settings from a job's plain data."""
    settings = dict(params["recipe"])
    student = Adapters(**settings["student"]) if settings.get("student") else None
    return LoopSettings(**{**settings, "observe": tuple(settings["observe"]), "student": student})


def threads() -> dict[str, Any]:
    """The threads of this process's arithmetic, and what the environment says of them: sums depend on their order."""
    import torch

    stated = {name: os.environ[name] for name in THREADS if name in os.environ}
    return {"torch": torch.get_num_threads(), "environment": stated}


def rates(trained: Trained) -> dict[str, Any]:
    """A training's images, speed and network passes."""
    return {
        "images": trained.images,
        "images_per_second": round(trained.images / max(trained.seconds, 1e-9), 1),
        "network_passes": trained.passes,
    }


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _commit() -> tuple[str, bool]:
    """The checkout's commit and whether files differ from it; outside a checkout, neither is known."""
    checkout = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", False

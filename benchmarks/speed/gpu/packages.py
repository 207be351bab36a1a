"""Packages that `make gpu` needs: the machine's own, and wheels from a folder, since there is no package index.

Imports none of them: it must be able to report what is missing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sid.fault import Fault
from sid.releases import numbers

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements.lock"
PYTHONS = ((3, 11), (3, 12), (3, 13), (3, 14))
SIZE_LIMIT = 15 * 2**20  # bytes of all wheels
TARGET = "3.12"  # the Python whose wheels are collected
PLATFORMS = ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64")

# Packages of the machine itself, with the oldest version that is known to work.
PRESENT = {
    "torch": "2.11",
    "torchvision": "0.26",
    "numpy": "2.0",
    "scipy": "1.13",
    "safetensors": "0.5",
    "transformers": "4.57",
    "accelerate": "1.0",
    "peft": "0.17",
    "torchmetrics": "1.8",
    "scikit-learn": "1.5",
    "pyarrow": "18",
    "pillow": "11.0",
    "pyyaml": "6.0",
    "tqdm": "4.66",
    "pytest": "8.0",
}
# Packages that may come as wheels, in the lock's versions, each with what needs it.
BROUGHT = {
    "pydantic": "settings of suites and engines",
    "pydantic-core": "pydantic",
    "annotated-types": "pydantic",
    "typing-inspection": "pydantic",
    "typing-extensions": "pydantic",
    "diffusers": "the networks of SD 1.5 and SDXL",
    "importlib-metadata": "diffusers",
    "zipp": "importlib-metadata",
    "lazy-importer": "diffusers",
    "requests": "diffusers, which imports it",
    "charset-normalizer": "requests",
    "idna": "requests",
    "urllib3": "requests",
    "certifi": "requests",
}

Installed = Callable[[str], str]  # a package's name -> its version, or PackageNotFoundError


def missing(installed: Installed = version) -> tuple[list[str], list[str]]:
    """Unmet requirements on the machine's own packages, and names of missing packages that may come as wheels."""
    own, brought = [], []
    for name, oldest in PRESENT.items():
        try:
            here = installed(name)
        except PackageNotFoundError:
            own.append(f"{name} {oldest} or newer")
            continue
        if numbers(here) < numbers(oldest):
            own.append(f"{name} {oldest} or newer (here is {here})")
    for name in BROUGHT:
        try:
            installed(name)
        except PackageNotFoundError:
            brought.append(name)
    return own, brought


def ready(wheels: Path, site: Path, installed: Installed = version) -> Path | None:
    """Installs missing packages from wheels; the folder to put first in PYTHONPATH, or None if nothing was missing.

    Everything that is missing is reported at once, before the budget begins.
    """
    own, brought = missing(installed)
    if sys.version_info[:2] not in PYTHONS:
        own.insert(0, f"Python {' or '.join('.'.join(map(str, number)) for number in PYTHONS)}")
    files = {name: wheel for name in BROUGHT if (wheel := wheel_of(name, wheels))}
    absent = [name for name in brought if name not in files]
    sentences = []
    if own:
        sentences.append(f"this machine lacks {', '.join(own)}: install it there; no wheels are collected for it")
    if absent:
        sentences.append(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} neither installed nor a wheel in {wheels}: "
            "`make gpu-wheels` collects them on a machine with a package index"
        )
    if sentences:
        raise Fault(sentences)
    if not brought:
        return None
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(site), *map(str, files.values())],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Fault(f"the wheels of {wheels} can't be installed: {done.stderr.strip().splitlines()[-1][:200]}")
    return site


def wheel_of(name: str, wheels: Path) -> Path | None:
    """The package's wheel in the folder."""
    stem = name.replace("-", "_")
    return next((file for file in sorted(wheels.glob("*.whl")) if file.name.lower().startswith(f"{stem}-")), None)


def locked(lock: str) -> str:
    """The lock's lines, with versions and hashes, of the packages that may come as wheels."""
    entries = re.split(r"\n(?=\S)", lock)
    chosen = [entry for entry in entries if entry.partition("==")[0].lower() in BROUGHT]
    if absent := set(BROUGHT) - {entry.partition("==")[0].lower() for entry in chosen}:
        raise Fault(f"requirements.lock lacks {', '.join(sorted(absent))}, which `make gpu` needs: see {__file__}")
    return "\n".join(chosen) + "\n"


def collect(wheels: Path) -> int:
    """Downloads the wheels from a package index; returns their bytes."""
    wheels.mkdir(parents=True, exist_ok=True)
    for old in wheels.glob("*.whl"):
        old.unlink()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(locked(LOCK.read_text()))
        file.flush()
        platforms = [f"--platform={name}" for name in PLATFORMS]
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        target = [f"--python-version={TARGET}", "--implementation=cp", f"--abi=cp{TARGET.replace('.', '')}"]
        target += ["--abi=abi3", "--abi=none", "--only-binary=:all:", *platforms]
        done = subprocess.run([*pip, *target, "--require-hashes", "-r", file.name, "-d", str(wheels)])
    if done.returncode:
        raise Fault("pip could not download the wheels: see its message above")
    size = sum(file.stat().st_size for file in wheels.glob("*.whl"))
    if size > SIZE_LIMIT:
        raise Fault(f"the wheels take {size / 2**20:.1f} MiB, more than the {SIZE_LIMIT / 2**20:.0f} MiB of the limit")
    return size

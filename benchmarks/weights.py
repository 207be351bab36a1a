"""Weight files of others: what they are, where they are looked for, and the sha256 that pins them. Never a download."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sid import atomic
from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = "SIDBENCH_WEIGHTS"
PINS = "pins.json"


@dataclass(frozen=True)
class Weight:
    """One file that somebody published."""

    name: str
    purpose: str
    files: tuple[str, ...]  # the names it goes by
    licence: str
    source: str  # where a person gets it
    sha256: str = ""  # full, or the known prefix; empty: pinned on first use
    size: int = 0  # bytes, 0 where not known for certain
    hub: str = ""  # Hugging Face repository

    @property
    def pinned(self) -> str:
        if len(self.sha256) == 64:
            return self.sha256
        return f"begins with {self.sha256}" if self.sha256 else "pinned on first use"

    @property
    def get(self) -> str:
        """The one command that fetches it, to be run by a person."""
        if self.hub:
            return f"hf download {self.hub} {self.files[0]} --local-dir ${FOLDER}/{self.name}"
        return f"curl -L -o ${FOLDER}/{self.files[0]} {self.source}"


class Missing(Fault):
    """A weight file that is nowhere: says what it is and every place that was searched."""

    def __init__(self, weight: Weight):
        size = f"{weight.size:,} bytes, " if weight.size else ""
        super().__init__(
            f"{weight.name} ({weight.purpose}) is missing: {weight.files[0]}, {size}{weight.licence}, "
            f"sha256 {weight.pinned}; looked in {searched(weight)}; get it with: {weight.get}"
        )


def find(weight: Weight, explicit: Path | None = None) -> Path | None:
    """The file, without reading it; an explicit path is taken or refused, never passed over."""
    if explicit is not None:
        if not explicit.is_file():
            raise Fault(f"{weight.name}: no file {explicit}")
        return explicit
    return next((path for path in places(weight) if path.is_file()), None)


def locate(weight: Weight, explicit: Path | None = None) -> Path:
    """The file with its sha256 checked (or pinned on first use); Missing or Fault otherwise."""
    path = find(weight, explicit)
    if path is None:
        raise Missing(weight)
    verify(weight, path)
    return path


def verify(weight: Weight, path: Path) -> str:
    """The file's sha256, refused where it is not the known one or not the one seen first."""
    found = sha256(path)
    known = weight.sha256 or _pins().get(weight.name, "")
    if known and not found.startswith(known):
        how = "published" if weight.sha256 else "pinned on first use"
        raise Fault(f"{weight.name}: {path} has sha256 {found}, {how}: {known}; the file is damaged or another one")
    if not known:
        _pin(weight.name, found)
    return found


def places(weight: Weight) -> Iterator[Path]:
    """Every path it is looked for at, in order: the folder of the project's weights, then caches, read-only."""
    folder = os.environ.get(FOLDER)
    names = (*((weight.sha256,) if len(weight.sha256) == 64 else ()), *weight.files)
    if not weight.hub:
        if folder:
            yield from (Path(folder) / name for name in names)
        yield from (cache / name for cache in caches() for name in weight.files)
        return
    # Many repositories call their file the same: each has a folder of its own.
    if folder:
        yield from (Path(folder) / weight.name / name for name in names)
    snapshots = hub_cache() / f"models--{weight.hub.replace('/', '--')}" / "snapshots"
    revisions = sorted(snapshots.iterdir()) if snapshots.is_dir() else [snapshots / "*"]
    yield from (revision / name for revision in revisions for name in weight.files)


def searched(weight: Weight) -> str:
    """The folders of those paths, for a sentence; a variable that is not set is a place to set it."""
    unset = [] if os.environ.get(FOLDER) else [f"${FOLDER} (not set)"]
    return ", ".join([*unset, *dict.fromkeys(str(place.parent) for place in places(weight))])


def hub_cache() -> Path:
    """Where huggingface_hub keeps its files."""
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub"))


def caches() -> list[Path]:
    """Folders that other tools download into; the temporary folder is writable for all, so its files are hashed too."""
    torch_home = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch"))
    return [
        torch_home / "hub" / "checkpoints",
        Path.home() / ".cache" / "clip",
        Path(os.environ.get("HPS_ROOT", Path.home() / ".cache" / "hpsv2")),
        Path.home() / ".cache" / "ImageReward",
        Path(tempfile.gettempdir()),
    ]


def sha256(path: Path) -> str:
    """Of a file's bytes; remembered while size and time stay the same."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, time: int) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file or of a torch file; nothing in either is run."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds; each means the file can't be read as tensors
        raise Fault(f"{path} can't be read as tensors: {str(error).splitlines()[0][:200]}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Fault(f"{path} holds no table of named tensors")
    return state


def pins_file() -> Path:
    """Beside the weights where there is a folder for them, else in the user's configuration."""
    folder = os.environ.get(FOLDER)
    home = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return (Path(folder) if folder and os.access(folder, os.W_OK) else home / "sidbench") / PINS


def _pins() -> dict[str, str]:
    path = pins_file()
    return json.loads(path.read_text()) if path.is_file() else {}


def _pin(name: str, digest: str) -> None:
    print(f"sidbench: {name}: sha256 {digest} pinned on first use in {pins_file()}")
    atomic.write_json(pins_file(), {**_pins(), name: digest})

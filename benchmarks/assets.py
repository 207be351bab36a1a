"""Weights and data that others published: where they are looked for, their sha256, how a missing one is reported.

Nothing is ever downloaded.
"""

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


WEIGHTS_ENV = "SIDBENCH_WEIGHTS"
PINS = "pins.json"
# What many repositories call their file: it may be anybody's, unless it lies in a folder of its own.
SHARED_NAMES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "vocab.txt",
)


@dataclass(frozen=True)
class Weight:
    """One file that somebody published."""

    name: str
    purpose: str
    files: tuple[str, ...]  # the names it goes by
    licence: str
    source: str  # where a person gets it
    sha256: str = ""  # full, or the known prefix; where it is not full, it is pinned on first use
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
            return f"hf download {self.hub} {self.files[0]} --local-dir ${WEIGHTS_ENV}/{self.name}"
        return f"curl -L -o ${WEIGHTS_ENV}/{self.files[0]} {self.source}"


class Missing(Fault):
    """A weight file that is nowhere: says what it is and every place that was searched."""

    def __init__(self, weight: Weight):
        size = f"{weight.size:,} bytes, " if weight.size else ""
        super().__init__(
            f"{_lack(weight)}: {weight.files[0]}, {size}{weight.licence}, "
            f"sha256 {weight.pinned}; looked in {searched(weight)}; get it with: {weight.get}"
        )


def missed(weight: Weight, reason: str) -> bool:
    """Whether a recorded reason says that this very file was nowhere."""
    return _lack(weight) in reason


def _lack(weight: Weight) -> str:
    return f"{weight.name} ({weight.purpose}) is missing"


def find(weight: Weight, explicit: Path | None = None) -> Path | None:
    """The file, without reading it; an explicit path is taken or refused, never passed over."""
    if explicit is not None:
        if not explicit.is_file():
            raise Fault(f"{weight.name}: no file {explicit}")
        return explicit
    return next((path for path in places(weight) if path.is_file()), None)


def locate(weight: Weight, explicit: Path | None = None) -> Path:
    """The file with its sha256 checked; Missing or Fault otherwise. Who has loaded it calls `pin`."""
    path = find(weight, explicit)
    if path is None:
        raise Missing(weight)
    verify(weight, path)
    return path


def verify(weight: Weight, path: Path) -> str:
    """The file's sha256, refused where it is not the published one or not the one that was loaded first."""
    found = sha256(path)
    if weight.sha256 and not found.startswith(weight.sha256):
        raise Fault(
            f"{weight.name}: {path} has sha256 {found}, published: {weight.sha256}; "
            f"the file is damaged or another one: get it with: {weight.get}"
        )
    known = _pins().get(weight.name, found) if len(weight.sha256) < 64 else found
    if known != found:
        raise Fault(
            f"{weight.name}: {path} has sha256 {found}, pinned on first use in {pins_file()}: {known}; "
            f"the file is damaged or another one: put the first one back, or, if this is the right one, "
            f"take '{weight.name}' out of {pins_file()}"
        )
    return found


def pin(weight: Weight, path: Path) -> None:
    """After it was loaded: from now on only this file goes by the name. A damaged one must never be pinned."""
    if len(weight.sha256) == 64 or weight.name in _pins():
        return
    digest = sha256(path)
    print(f"sidbench: {weight.name}: sha256 {digest} pinned on first use in {pins_file()}")
    atomic.write_json(pins_file(), {**_pins(), weight.name: digest})


def places(weight: Weight) -> Iterator[Path]:
    """Every path it is looked for at, in order: the folder of the project's weights, then caches, read-only."""
    folder = os.environ.get(WEIGHTS_ENV)
    names = (*((weight.sha256,) if len(weight.sha256) == 64 else ()), *weight.files)
    if not weight.hub:
        if folder:
            yield from (Path(folder) / name for name in names)
        yield from (cache / name for cache in caches() for name in weight.files)
        return
    own = [name for name in names if name not in SHARED_NAMES]
    if folder:
        yield from (Path(folder) / weight.name / name for name in names)
        yield from (Path(folder) / name for name in own)
    snapshots = hub_cache() / f"models--{weight.hub.replace('/', '--')}" / "snapshots"
    revisions = sorted(snapshots.iterdir()) if snapshots.is_dir() else [snapshots / "*"]
    yield from (revision / name for revision in revisions for name in weight.files)
    yield from (cache / name for cache in preference_caches() for name in own)


def searched(weight: Weight) -> str:
    """The folders of those paths, for a sentence; a variable that is not set is a place to set it."""
    unset = [] if os.environ.get(WEIGHTS_ENV) else [f"${WEIGHTS_ENV} (not set)"]
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
        *preference_caches(),
        Path(tempfile.gettempdir()),
    ]


def preference_caches() -> list[Path]:
    """Where the packages hpsv2 and ImageReward download their own files to."""
    home = Path.home() / ".cache"
    return [Path(os.environ.get("HPS_ROOT", home / "hpsv2")), home / "ImageReward"]


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
        # torch's own words are advice to load it unsafely.
        objects = "it holds Python objects, which are never loaded" if "Unsupported global" in str(error) else ""
        raise Fault(f"{path} can't be read as tensors: {objects or 'it is damaged, or no file of tensors'}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Fault(f"{path} holds no table of named tensors")
    return state


def pins_file() -> Path:
    """Beside the weights where there is a folder for them, else in the user's configuration."""
    folder = os.environ.get(WEIGHTS_ENV)
    home = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return (Path(folder) if folder and os.access(folder, os.W_OK) else home / "sidbench") / PINS


def _pins() -> dict[str, str]:
    path = pins_file()
    if not path.is_file():
        return {}
    try:
        pins = json.loads(path.read_bytes())
    except ValueError:
        pins = None
    if not isinstance(pins, dict):
        raise Fault(f"{path} is damaged: it is no table of names and sha256; take it away, and files are pinned anew")
    return pins


DATA_ENV = "SIDBENCH_DATA"  # one folder, or several with a colon between them
DATA_FOLDER = Path("data")


@dataclass(frozen=True)
class DataFile:
    """One file or folder that somebody published."""

    purpose: str
    names: tuple[str, ...]  # it goes by any of these, relative to a data folder
    licence: str
    source: str  # where a person gets it
    size: int = 0  # bytes, 0 where not known for certain
    needed: bool = True  # without it the data set can't be read; otherwise it only proves or adds something
    splits: tuple[str, ...] = ()  # that it is needed for; empty: all

    @property
    def words(self) -> str:
        size = f"{self.size:,} bytes, " if self.size else ""
        return f"{' or '.join(self.names)}, {size}{self.licence}"


class MissingData(Fault):
    """A file that is nowhere: what it is, every folder that was searched, and where a person gets it."""

    def __init__(self, owner: str, file: DataFile, searched: list[Path]):
        folders = ", ".join(str(folder) for folder in searched)
        super().__init__(
            f"{owner} lacks {file.purpose} ({file.words}); looked in {folders}; how to get it: {file.source}; put it "
            f"into the folder that ${DATA_ENV} names"
        )


def data_roots() -> list[Path]:
    """The data folders, in order: those of SIDBENCH_DATA, then ./data."""
    named = [Path(part).expanduser() for part in os.environ.get(DATA_ENV, "").split(os.pathsep) if part]
    return [*named, DATA_FOLDER]


def data_folders(owner: str, explicit: Path | None = None) -> list[Path]:
    """Where a data set's files may lie: a given folder alone; else every root, and the data set's own folder in it."""
    if explicit is not None:
        return [explicit]
    return [folder for root in data_roots() for folder in (root / owner, root)]


def data_places(owner: str, file: DataFile, explicit: Path | None = None) -> Iterator[Path]:
    """Every path it is looked for at. A given path may also be the file itself."""
    if explicit is not None and explicit.name in {Path(name).name for name in file.names}:
        yield explicit
    yield from (folder / name for folder in data_folders(owner, explicit) for name in file.names)


def placed_data(path: Path) -> Path:
    """A path as it was given, or what has its name in a data folder where nothing lies at the path itself."""
    return next((place for place in (path, *(root / path.name for root in data_roots())) if place.exists()), path)


def find_data(owner: str, file: DataFile, explicit: Path | None = None) -> Path | None:
    """The first place where it lies, without reading it; a given path is the only place."""
    return next((path for path in data_places(owner, file, explicit) if path.exists()), None)


def locate_data(owner: str, file: DataFile, explicit: Path | None = None) -> Path:
    """As find; Missing where it is nowhere."""
    path = find_data(owner, file, explicit)
    if path is None:
        raise MissingData(owner, file, data_folders(owner, explicit))
    return path


PICKLED = (".pkl", ".pt")


def published_place(source: str) -> Path:
    """A published file as the suite names it, or one of its name in a folder of SIDBENCH_WEIGHTS."""
    folders = [Path(part).expanduser() for part in os.environ.get(WEIGHTS_ENV, "").split(os.pathsep) if part]
    places = [Path(source), *(folder / Path(source).name for folder in folders)]
    return next((place for place in places if place.is_file()), places[0])

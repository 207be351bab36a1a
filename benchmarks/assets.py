"""Files that others published, feature weights and data sets: where they are looked for, and how they are checked.

Nothing is downloaded here (`sidbench fetch` does that, when asked). Weight files are looked for in the folders of
$SIDBENCH_WEIGHTS and in the caches of other tools, and their sha256 is checked. Data files are looked for in the
folders of $SIDBENCH_DATA and in ./data; the data sets check their content. `Missing` names the searched folders and the
way to get the file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sid import atomic
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    from torch import Tensor


WEIGHTS_ENV = "SIDBENCH_WEIGHTS"  # this variable and the next name one folder, or several with a colon between them
DATA_ENV = "SIDBENCH_DATA"
DATA_FOLDER = Path("data")  # searched after the folders of DATA_ENV
PINS = "pins.json"
NOWHERE = Path("/nonexistent")  # the home of users that have none, as Debian calls it
PICKLED = (".pkl", ".pt")  # published networks that are imported by a reader that runs nothing in them
SHA256_DIGITS = 64
# Names that many repositories give their file: such a file counts only in a folder of its weight's own name.
SHARED_NAMES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "vocab.txt",
    "config.json",
    "tokenizer.json",
)


# What can be missing


@dataclass(frozen=True)
class Weight:
    """A weight file."""

    name: str
    purpose: str
    files: tuple[str, ...]  # any of these names
    licence: str
    source: str  # where a person gets it
    sha256: str = ""  # full, a known prefix, or empty; unless it is full, the file is pinned on first use
    size: int = 0  # bytes, 0 if not known for certain
    hub: str = ""  # Hugging Face repository

    @property
    def fully_known(self) -> bool:
        return len(self.sha256) == SHA256_DIGITS

    @property
    def pinned(self) -> str:
        """The sha256 as a message prints it."""
        if self.fully_known:
            return self.sha256
        return f"begins with {self.sha256}" if self.sha256 else "pinned on first use"

    @property
    def fetch_command(self) -> str:
        """The command with which a person downloads it."""
        home = "" if weights_folders() else f'export {WEIGHTS_ENV}="$PWD/weights"; mkdir -p "${WEIGHTS_ENV}"; '
        if self.hub:
            return f'{home}hf download {self.hub} {self.files[0]} --local-dir "${WEIGHTS_ENV}/{self.name}"'
        return f'{home}curl -L -o "${WEIGHTS_ENV}/{self.files[0]}" {self.source}'

    @property
    def missing_text(self) -> str:
        """The start of a message of `Missing`, for which `reports_missing` searches recorded ones."""
        return f"{self.name} ({self.purpose}) is missing"


@dataclass(frozen=True)
class DataFile:
    """A file or folder of a data set."""

    purpose: str
    names: tuple[str, ...]  # any of these, relative to a data folder
    licence: str
    source: str  # where a person gets it
    size: int = 0  # bytes, 0 if not known for certain
    needed: bool = True  # without it the data set can't be read; otherwise it only proves or adds something
    splits: tuple[str, ...] = ()  # that need it; empty: all

    @property
    def words(self) -> str:
        return f"{' or '.join(self.names)}, {_bytes(self.size)}{self.licence}"


class Missing(Fault):
    """A published file that is nowhere: what it is, every folder that was searched, and how to get it."""

    def __init__(self, what: str, folders: Iterable[Path | str], remedy: str):
        super().__init__(f"{what}; looked in {', '.join(map(str, folders))}; {remedy}")

    @classmethod
    def weight(cls, weight: Weight) -> Missing:
        properties = f"{_bytes(weight.size)}{weight.licence}, sha256 {weight.pinned}"
        what = f"{weight.missing_text}: {weight.files[0]}, {properties}"
        return cls(what, searched_folders(weight), f"get it with: {weight.fetch_command}")

    @classmethod
    def data(cls, owner: str, file: DataFile, folders: Iterable[Path]) -> Missing:
        """`owner` is the data set that needs the file."""
        remedy = f"how to get it: {file.source}; put it into the folder that ${DATA_ENV} names"
        return cls(f"{owner} lacks {file.purpose} ({file.words})", folders, remedy)


def reports_missing(reason: str, weight: Weight) -> bool:
    """Whether a recorded reason is the message that this weight file was missing."""
    return weight.missing_text in reason


def _bytes(size: int) -> str:
    return f"{size:,} bytes, " if size else ""


# Search paths


def weights_folders() -> list[Path]:
    return _folders_of(WEIGHTS_ENV)


def data_roots() -> list[Path]:
    """The folders of SIDBENCH_DATA, then ./data."""
    return [*_folders_of(DATA_ENV), DATA_FOLDER]


def _folders_of(variable: str) -> list[Path]:
    parts = [part for part in os.environ.get(variable, "").split(os.pathsep) if part]
    return [home() / part[2:] if part.startswith("~/") else Path(part) for part in parts]


def home() -> Path:
    """The user's own folder; where there is none (a container's nameless user), a place where nothing is."""
    try:
        return Path.home()
    except RuntimeError:
        return NOWHERE


def resolve_data(path: Path) -> Path:
    """The path as given; if nothing is there, what has its name in a data folder."""
    return _resolve(path, data_roots(), Path.exists)


def resolve_weights(source: str) -> Path:
    """A published file as a suite names it; if there is none, the file of its name in a weights folder."""
    return _resolve(Path(source), weights_folders(), Path.is_file)


def _resolve(path: Path, folders: list[Path], exists: Callable[[Path], bool]) -> Path:
    return next((place for place in (path, *(folder / path.name for folder in folders)) if exists(place)), path)


def hub_cache() -> Path:
    """Where huggingface_hub keeps its files."""
    cache = Path(os.environ.get("HF_HOME", home() / ".cache" / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", cache / "hub"))


def snapshot(repository: str) -> Path | None:
    """The folder of a repository's main revision in that cache, if it is there. Opens no package of theirs."""
    home = hub_cache() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (home / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    folder = home / "snapshots" / revision
    return folder if revision and folder.is_dir() else None


def download_caches() -> list[Path]:
    """Folders that other tools download into. Anybody can write to the last one, the temporary folder: hence sha256."""
    torch_home = Path(os.environ.get("TORCH_HOME", home() / ".cache" / "torch"))
    return [
        torch_home / "hub" / "checkpoints",
        home() / ".cache" / "clip",
        *preference_caches(),
        Path(tempfile.gettempdir()),
    ]


def preference_caches() -> list[Path]:
    """Where the packages hpsv2 and ImageReward download their own files to."""
    cache = home() / ".cache"
    return [Path(os.environ.get("HPS_ROOT", cache / "hpsv2")), cache / "ImageReward"]


# Data


def data_folders(owner: str, explicit: Path | None = None) -> list[Path]:
    """The folders in which a data set's files are looked for.

    Args:
        owner: the data set's name; every data root may have a folder of this name.
        explicit: a path given by hand, which is then the only one.
    """
    if explicit is not None:
        return [explicit]
    return [folder for root in data_roots() for folder in (root / owner, root)]


def find_data(owner: str, file: DataFile, explicit: Path | None = None) -> Path | None:
    """The first place where the file is, without reading it. An explicit path may also be the file itself."""
    places = [folder / name for folder in data_folders(owner, explicit) for name in file.names]
    if explicit is not None and explicit.name in {Path(name).name for name in file.names}:
        places.insert(0, explicit)
    return next((place for place in places if place.exists()), None)


def locate_data(owner: str, file: DataFile, explicit: Path | None = None) -> Path:
    """As `find_data`, but raises Missing if the file is nowhere."""
    path = find_data(owner, file, explicit)
    if path is None:
        raise Missing.data(owner, file, data_folders(owner, explicit))
    return path


# Weights


def find(weight: Weight, explicit: Path | None = None) -> Path | None:
    """The first place where the file is, without reading it. An explicit path must be a file and is the only one."""
    if explicit is not None:
        if not explicit.is_file():
            raise Fault(f"{weight.name}: no file {explicit}")
        return explicit
    return next((place for place in places(weight) if place.is_file()), None)


def locate(weight: Weight, explicit: Path | None = None) -> Path:
    """The file with its sha256 checked; raises Missing or Fault otherwise. After loading it, call `pin`."""
    path = find(weight, explicit)
    if path is None:
        raise Missing.weight(weight)
    verify(weight, path)
    return path


def places(weight: Weight) -> Iterator[Path]:
    """Every path at which it is looked for, in order: the weights folders, then the caches, which are only read."""
    names = (*((weight.sha256,) if weight.fully_known else ()), *weight.files)
    if not weight.hub:
        yield from (folder / name for folder in weights_folders() for name in names)
        yield from (cache / name for cache in download_caches() for name in weight.files)
        return
    own_names = [name for name in names if name not in SHARED_NAMES]
    for folder in weights_folders():
        yield from (folder / weight.name / name for name in names)
        yield from (folder / name for name in own_names)
    snapshots = hub_cache() / f"models--{weight.hub.replace('/', '--')}" / "snapshots"
    revisions = sorted(snapshots.iterdir()) if snapshots.is_dir() else [snapshots / "*"]
    yield from (revision / name for revision in revisions for name in weight.files)
    yield from (cache / name for cache in preference_caches() for name in own_names)


def searched_folders(weight: Weight) -> list[str]:
    """The folders of those paths, for a message; the variable is listed if it is not set."""
    unset = [] if weights_folders() else [f"${WEIGHTS_ENV} (not set)"]
    return [*unset, *dict.fromkeys(str(place.parent) for place in places(weight))]


# Sha256


def verify(weight: Weight, path: Path) -> str:
    """The file's sha256; refused unless it is the published one and the one that was pinned."""
    digest = sha256(path)
    if weight.sha256 and not digest.startswith(weight.sha256):
        raise Fault(
            f"{weight.name}: {path} has sha256 {digest}, published: {weight.sha256}; "
            f"the file is damaged or another one: get it with: {weight.fetch_command}"
        )
    pinned = digest if weight.fully_known else _pins().get(weight.name, digest)
    if pinned != digest:
        raise Fault(
            f"{weight.name}: {path} has sha256 {digest}, pinned on first use in {pins_file()}: {pinned}; "
            f"the file is damaged or another one: put the first one back, or, if this is the right one, "
            f"take '{weight.name}' out of {pins_file()}"
        )
    return digest


def pin(weight: Weight, path: Path) -> None:
    """From now on only this file is accepted. Called after it was loaded: a damaged file must never be pinned."""
    if weight.fully_known or weight.name in _pins():
        return
    digest = sha256(path)
    print(f"sidbench: {weight.name}: sha256 {digest} pinned on first use in {pins_file()}")
    atomic.write_json(pins_file(), {**_pins(), weight.name: digest})


def pins_file() -> Path:
    """In the first weights folder if it is writable, else in the user's configuration."""
    folders = weights_folders()
    config = Path(os.environ.get("XDG_CONFIG_HOME", home() / ".config"))
    return (folders[0] if folders and os.access(folders[0], os.W_OK) else config / "sidbench") / PINS


def _pins() -> dict[str, str]:
    path = pins_file()
    if not path.is_file():
        return {}
    try:
        pins = parsed(path.read_bytes())
    except ValueError:
        pins = None
    if not isinstance(pins, dict):
        raise Fault(f"{path} is damaged: it is no table of names and sha256; take it away, and files are pinned anew")
    return pins


def sha256(path: Path) -> str:
    """Of a file's bytes; cached while its size and time stay the same."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, time: int) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Reading


def tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors file or of a torch file; no code in either is executed."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds; each means the file can't be read as tensors
        # torch's own message advises to load the file unsafely.
        objects = "it holds Python objects, which are never loaded" if "Unsupported global" in str(error) else ""
        raise Fault(f"{path} can't be read as tensors: {objects or 'it is damaged, or no file of tensors'}") from error
    if isinstance(state, dict):
        state = state.get("state_dict", state.get("model_state_dict", state))
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise Fault(f"{path} holds no table of named tensors")
    return state

"""Published .pkl and training-state .pt files of EDM, SiD, SiDA and EDM2, read as data: nothing in them runs.

Their usual loader executes the source text stored in the file. Here weights and init arguments are read out and written
as safetensors and JSON, which is all that the suite loads.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sid import atomic
from sid.discovery import UnknownName
from sid.fault import Fault
from sid.teachers.pickles.inert_pickle import Name, Shell, read
from sid.teachers.pickles.published_policy import PublishedPolicy
from sid.teachers.pickles.stored_tensors import MAGIC, ZIP_ERRORS, StoredTensor, read_archive, read_legacy

# The published preconditioners, the family that loads each, and the order of their init arguments.
FAMILIES = {
    "EDMPrecond": "edm",
    "VPPrecond": "edm",
    "VEPrecond": "edm",
    "iDDPMPrecond": "edm",
    "Precond": "edm2",
    "UNet2DConditionModel": "unet-2d-condition",  # SiD-LSG's files: a diffusers U-Net
    # SiDA's: the same networks, which can also stop after their encoder; a generator has no head for the log variance.
    "EDMPrecond_EncoderDecoder": "edm",
    "EDM_2_Precond_EncoderDecoder": "edm2",
    "EDM_2_Precond_Generator": "edm2",
}
ENCODER_DECODER = "_EncoderDecoder"  # how SiDA calls what EDM calls without it
IDLE_SETTINGS = {"use_gan"}  # init arguments that change no weight and no answer
POSITIONAL = ("img_resolution", "img_channels", "label_dim", "use_fp16")
KEYS = ("ema", "G_ema", "G", "net")  # in this order, the network that is taken when none is named
TENSOR_NAME = re.compile(r"[\w-]{1,200}", re.ASCII)
DEEPEST = 64  # modules in modules
MOST_ENTRIES = 200_000  # modules, tensors and absent ones; EDM2's largest network has some thousand
MOST_LETTERS = 2**24  # of all tensors' names
MOST_SETTINGS = 10_000
READ_AGAIN = 4  # times the file's size that its tensors may read of it


@dataclass(frozen=True)
class PublishedPickle:
    """One network of a file: its class, its init arguments, and its tensors by name in state-dict order."""

    class_name: str
    settings: dict[str, Any]
    tensors: dict[str, StoredTensor]
    source_digest: str


def read_file(path: Path) -> tuple[Any, Any]:
    """(the file's value, the stream that must stay open while tensors are read); a Fault for what is refused."""
    path = Path(path)
    if not path.is_file():
        raise Fault(f"{path} is no file")
    if not path.stat().st_size:
        raise Fault(f"{path} is empty")
    try:
        with open(path, "rb") as file:
            stream = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if stream[:4] == b"PK\x03\x04":
            archive = zipfile.ZipFile(path)
            return read_archive(path, archive, PublishedPolicy()), archive
        if MAGIC.to_bytes(10, "little") in stream[:32]:
            return read_legacy(stream, len(stream), PublishedPolicy()), stream
        return read(stream, PublishedPolicy()), stream
    except ZIP_ERRORS as error:
        raise refusal(path, f"its archive is truncated or damaged: {error}") from error
    except Fault as fault:
        raise refusal(path, fault) from fault


def refusal(path: Path, why: object) -> Fault:
    return Fault(f"{path} was refused, and nothing in it was run: {why}")


def networks(value: Any) -> dict[str, Shell]:
    """The networks a file holds, by their key in it ("" where the file is one network)."""
    if isinstance(value, Shell):
        return {"": value} if _module_state(value) is not None else {}
    shells = {}
    for key, part in value.items() if isinstance(value, dict) else ():
        if isinstance(part, Shell) and _module_state(part) is not None and _class_name(part) in FAMILIES:
            shells[str(key)] = part
    return shells


def choose(shells: dict[str, Shell], key: str | None) -> str:
    """The key of the network to take: the given one, the averaged one, or the only one."""
    if not shells:
        raise Fault(f"it holds no published network (one of {', '.join(FAMILIES)})")
    if key is not None:
        if key not in shells:
            raise UnknownName("network of this file", key, shells)
        return key
    for usual in KEYS:
        if usual in shells:
            return usual
    if len(shells) > 1:
        raise Fault(f"it holds several networks; name one with --key: {', '.join(sorted(shells))}")
    return next(iter(shells))


def published(shell: Shell) -> PublishedPickle:
    """The network a shell stands for."""
    name = _class_name(shell)
    if name not in FAMILIES:
        raise UnknownName("published network", name, FAMILIES)
    state = _module_state(shell)
    assert state is not None
    arguments = state.get("_init_args", ())
    keywords = state.get("_init_kwargs", state.get("_internal_dict", {}))  # persistent classes', diffusers' own
    if not isinstance(arguments, tuple | list) or not isinstance(keywords, dict) or len(arguments) > len(POSITIONAL):
        raise Fault(f"its {name} has no readable init arguments")
    settings = {**dict(zip(POSITIONAL, arguments, strict=False)), **keywords}
    left = [MOST_SETTINGS]
    settings = {str(key): _plain(part, left) for key, part in settings.items() if not str(key).startswith("_")}
    tensors = dict(_tensors(shell, "", 0, [0, 0]))
    if not tensors:
        raise Fault(f"its {name} holds no tensors")
    source = shell.arguments[0] if shell.of.module == "published" else ""
    return PublishedPickle(name, settings, tensors, source)


def _class_name(shell: Shell) -> str:
    return shell.of.name


def _module_state(shell: Shell) -> dict[str, Any] | None:
    """A torch module's attributes; None where the shell is no module."""
    state = shell.state
    if not isinstance(state, dict):
        return None
    parts = (state.get(name) for name in ("_parameters", "_buffers", "_modules"))
    return state if all(isinstance(part, dict) for part in parts) else None


def _tensors(shell: Shell, prefix: str, depth: int, seen: list[int]) -> Iterator[tuple[str, StoredTensor]]:
    """Named tensors in the order of a state dict: parameters, persistent buffers, then the children.

    `seen` counts modules and entries, and the letters of their names: shared modules can be nested to a huge tree.
    """

    def count(name: str) -> None:
        seen[0] += 1
        seen[1] += len(name)
        if depth > DEEPEST or seen[0] > MOST_ENTRIES or seen[1] > MOST_LETTERS:
            raise Fault("its modules are nested deeper, or are more, than any network's")

    count(prefix)
    state = _module_state(shell)
    if state is None:
        raise Fault(f"its module '{prefix.rstrip('.')}' is none of torch's kind")
    left_out = state.get("_non_persistent_buffers_set")
    left_out = left_out if isinstance(left_out, set | list | tuple) else ()
    for kind in ("_parameters", "_buffers"):
        for name, tensor in state[kind].items():
            count(prefix)
            if tensor is None or (kind == "_buffers" and name in left_out):
                continue
            if not isinstance(name, str) or not TENSOR_NAME.fullmatch(name):
                raise Fault(f"its module '{prefix.rstrip('.')}' names a tensor as no network does")
            if not isinstance(tensor, StoredTensor):
                raise Fault(f"its entry '{prefix}{name}' is no tensor")
            yield f"{prefix}{name}", tensor
    for name, child in state["_modules"].items():
        count(prefix)
        if not isinstance(name, str) or not TENSOR_NAME.fullmatch(name):
            raise Fault(f"its module '{prefix.rstrip('.')}' names a part as no network does")
        if isinstance(child, Shell):
            yield from _tensors(child, f"{prefix}{name}.", depth + 1, seen)
        elif child is not None:
            raise Fault(f"its module '{prefix}{name}' is no module")


def _plain(value: Any, left: list[int], depth: int = 0) -> Any:
    """An init argument as JSON; `left` counts down, since a few shared lists can expand to a very large one."""
    left[0] -= 1
    if left[0] < 0:
        raise Fault("it holds more init arguments than any network has")
    if value is None or isinstance(value, bool | int | Name) or (isinstance(value, str) and len(value) < 1000):
        return str(value) if isinstance(value, Name) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < 3 and isinstance(value, list | tuple | dict) and len(value) <= 64:
        if isinstance(value, dict):
            return {str(key)[:1000]: _plain(part, left, depth + 1) for key, part in value.items()}
        return [_plain(part, left, depth + 1) for part in value]
    raise Fault(f"it holds an init argument of the kind {type(value).__name__} that is no setting")


def import_file(path: Path, folder: Path, key: str | None = None, own: bool = False) -> dict[str, Any]:
    """Writes network.safetensors and teacher.json into `folder`; returns the content of teacher.json.

    Names, dtypes and bits are the file's own.

    Args:
        path: The published file.
        folder: Where the two files go.
        key: The network's key in the file, where it holds several.
        own: Whether the folder is the caller's and replaced whatever it holds; others only if imported from this file.
    """
    from safetensors.torch import save_file

    path, folder = Path(path), Path(folder)
    value, opened = read_file(path)
    digest = digest_of(path)
    if not own:
        _refuse_foreign(folder, digest)
    with opened:
        try:
            chosen = choose(networks(value), key)
            network = published(networks(value)[chosen])
            if sum(tensor.size for tensor in network.tensors.values()) > path.stat().st_size:
                raise Fault("its tensors are declared larger than the file")
            if sum(tensor.storage.size for tensor in network.tensors.values()) > READ_AGAIN * path.stat().st_size:
                raise Fault("its tensors are small parts of the same large ones, which no network's are")
            tensors = {name: tensor.load() for name, tensor in network.tensors.items()}
        except Fault as fault:
            raise refusal(path, fault) from fault
        with atomic.folder(folder) as beside:
            save_file(tensors, beside / "network.safetensors")
            record = {
                "family": FAMILIES[network.class_name],
                "class": network.class_name,
                "settings": settings_of(network),
                "source": {"file": path.name, "sha256": digest, "bytes": path.stat().st_size, "key": chosen},
                "source_text_sha256": network.source_digest,
                "weights_sha256": digest_of(beside / "network.safetensors"),
                "tensors": len(network.tensors),
            }
            atomic.write_json(beside / "teacher.json", record)
    return record


def settings_of(network: PublishedPickle) -> dict[str, Any]:
    """The settings from which the family builds the network: the init arguments, and the wrapper of an EDM network."""
    family, settings = FAMILIES[network.class_name], dict(network.settings)
    if family == "edm":
        settings["wrapper"] = network.class_name.removesuffix(ENCODER_DECODER)
        if isinstance(settings.get("model_type"), str):
            settings["model_type"] = settings["model_type"].removesuffix(ENCODER_DECODER)
    elif network.class_name == "EDM_2_Precond_Generator":
        settings["logvar_channels"] = 0
    return {key: value for key, value in settings.items() if family != "edm2" or key not in IDLE_SETTINGS}


def digest_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_foreign(folder: Path, digest: str) -> None:
    """An existing folder is replaced only when it was imported from the very same file."""
    if not folder.exists():
        return
    try:
        source = json.loads((folder / "teacher.json").read_text())["source"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        source = None
    if source != digest and (not folder.is_dir() or any(folder.iterdir())):
        raise Fault(f"{folder} exists and was not imported from this file; name another folder with --to")

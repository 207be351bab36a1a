"""A diffusers pipeline folder, checked against its family before anything is loaded. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sid.fault import Fault, parsed, report

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = ("diffusion_pytorch_model", "model")  # of diffusers' and of transformers' classes


def locate(place: Path | str) -> Path:
    """A local folder, or the snapshot of `owner/name` in the Hugging Face cache. Downloads nothing."""
    folder = Path(place)
    if folder.is_dir():
        return folder
    if REPOSITORY.fullmatch(str(place)):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return Path(snapshot_download(str(place), local_files_only=True))
        except (LocalEntryNotFoundError, RuntimeError):  # a user without a home has no cache
            raise Fault(
                f"'{place}' is neither a folder nor in the Hugging Face cache, and nothing is downloaded by itself; "
                f"to fetch it: hf download {place}"
            ) from None
    raise Fault(f"{place} is no folder (expected a diffusers pipeline: model_index.json and its components)")


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file; a Fault where it is none."""
    try:
        content = parsed(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Fault(f"{file} can't be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise Fault(f"{file} is no JSON object")
    return content


def check_index(folder: Path, family: str, pipelines: Iterable[str]) -> dict[str, Any]:
    """model_index.json; a Fault if its class is one of diffusers' that is not among `pipelines`.

    A class of the publishers' own is not looked for, and none of its code runs: the folder's components, which are
    checked one by one, are read as those of the family's first class.
    """
    pipelines = tuple(pipelines)
    if not (folder / "model_index.json").is_file():
        names = ", ".join(sorted(file.name for file in folder.iterdir())[:6]) or "nothing"
        raise Fault(
            f"{folder} is no diffusers pipeline: it has no model_index.json (expected a {pipelines[0]}, found {names})"
        )
    index = read_json(folder / "model_index.json")
    named = index.get("_class_name")
    if named in pipelines:
        return index
    if named is None or in_diffusers(str(named)):
        raise Fault(f"{folder} holds a {named}, and the family '{family}' expects a {' or '.join(pipelines)}")
    report(f"{folder} holds a {named}, which diffusers does not have: its components are read as a {pipelines[0]}'s")
    return index


def in_diffusers(name: str) -> bool:
    """Whether diffusers has a pipeline of that name."""
    import diffusers

    return hasattr(diffusers, name)


def check_component(folder: Path, part: str, what: str, weights: bool = True) -> Path:
    """The folder of a component; a Fault without its config and, with `weights`, its safetensors files.

    `what` names the component in the Fault.
    """
    inside = folder / part
    described = {"scheduler": "scheduler_config.json"}.get(part, "config.json")
    if part.startswith("tokenizer"):
        described = "tokenizer_config.json"
    if not inside.is_dir():
        raise Fault(f"{folder} has no {part}/ (expected {what}: {part}/{described}{' and its weights' * weights})")
    if not (inside / described).is_file():
        raise Fault(f"{inside} has no {described} (expected {what})")
    if weights and not weight_files(inside):
        pickled = [file.name for file in inside.glob("*.bin")]
        raise Fault(
            f"{inside} has no safetensors weights (expected {what})"
            + (f"; {pickled[0]} is a pickle, which is not read" if pickled else "")
        )
    return inside


def weight_files(inside: Path) -> list[Path]:
    """The component's safetensors files: the plain ones, else those of the fp16 variant."""
    for variant in ("", ".fp16"):
        for stem in WEIGHTS:
            whole = inside / f"{stem}{variant}.safetensors"
            shards = sorted(inside.glob(f"{stem}{variant}-*-of-*.safetensors"))
            if whole.is_file() or shards:
                return [whole] if whole.is_file() else shards
    return []


def variant_of(files: list[Path]) -> str | None:
    """The `variant` argument with which diffusers opens these files."""
    return "fp16" if files and ".fp16" in files[0].name else None


def stored_dtypes(files: list[Path]) -> set[str]:
    """The floating dtypes in the files' headers ("F32", "F16", "BF16"); a Fault for a damaged file."""
    from safetensors import SafetensorError, safe_open

    dtypes = set()
    for file in files:
        try:
            with safe_open(file, "numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118 - it is no dict
                    dtypes.add(tensors.get_slice(name).get_dtype())
        except SafetensorError as error:
            raise Fault(f"{file} is no whole safetensors file: {error}") from None
    return {dtype for dtype in dtypes if dtype.startswith(("F", "BF"))}

"""What stands in a suite for a user's file enters a digest by the file's content. Imports no torch.

A path, or the name of published data, decides nothing: the bytes do. `Contents.of` replaces each by its sha256. A file
that is not there is left by its name, so that a suite is planned without it; before a job starts, it must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import assets
from benchmarks.data import open as data_sets
from benchmarks.data import prompts as prompt_lists
from benchmarks.suite import components
from benchmarks.suite.released import Released, found_file
from benchmarks.suite.seen import SeenFiles, joined
from sid.fault import Fault
from sid.teachers.latent.folder import weight_files

PROMPTS = ("prompts", "only")  # keys of a list of prompts
OWN = ("options", "recipe", "network", "settings", "engine", "training", "budget")  # sections that name no file
TEXTS = (".json", ".txt", ".model")  # of a pipeline's component, beside its weights


class Contents:
    """The contents of the files that one plan names, each looked up once.

    Args:
        results: The folder of the results, beside which they are remembered.
    """

    def __init__(self, results: Path):
        self.seen = SeenFiles(results)
        self._known: dict[tuple[str, str], str | None] = {}

    def of(self, section: Mapping[str, Any]) -> dict[str, Any]:
        """The section with the contents of its files in the place of their paths, and beside their names."""
        return {key: self._value(key, value, section) for key, value in section.items()}

    def _value(self, key: str, value: Any, section: Mapping[str, Any]) -> Any:
        if isinstance(value, dict):
            if key in OWN:
                return value
            return self._prompts(value) if key in PROMPTS and not _table_of(value) else self.of(value)
        if not isinstance(value, str):
            return value
        if key == "source" and "family" in section:
            return self._instead(value, self._once("teacher", value, section["family"]))
        if key == "pairs":
            return self._instead(value, self._once("pairs", value))
        if key in ("data", "world"):
            split = str(section.get("split") or "train")
            return self._named(value, self._once("data", value, split))
        return value

    def _prompts(self, source: dict[str, Any]) -> dict[str, Any]:
        """A list of prompts, by its file, its name or the data set whose captions it is."""
        changed = dict(source)
        if isinstance(file := source.get("file"), str):
            changed["file"] = self._instead(file, self._once("prompts", file))
        elif isinstance(name := source.get("name"), str) and not source.get("sha256"):
            changed["name"] = self._named(name, self._once("list", name))
        elif isinstance(data := source.get("data"), str):
            changed["data"] = self._named(data, self._once("captions", data, str(source.get("split", "train"))))
        return changed

    @staticmethod
    def _instead(word: str, sha256: str | None) -> str:
        return word if sha256 is None else f"sha256:{sha256}"

    @staticmethod
    def _named(word: str, sha256: str | None) -> str:
        """A published name stays beside the content: it says how the content is read."""
        if sha256 is None:
            return word
        return f"sha256:{sha256}" if data_sets.is_path(word) else f"{word.partition('@')[0]} sha256:{sha256}"

    def _once(self, kind: str, word: str, more: str = "") -> str | None:
        if (kind, f"{word} {more}") not in self._known:
            try:
                files = _FILES[kind](word, more)
                sha256 = self._content(files) if files else None
            except (OSError, Fault):
                sha256 = None  # what can't be read is reported before the first job
            self._known[kind, f"{word} {more}"] = self.seen.last(f"{kind} {word} {more}", sha256)
        return self._known[kind, f"{word} {more}"]

    def released(self, described: Released) -> str | None:
        """The content of a published generator's files; None if one of them is missing."""
        word = f"{described.repository} {described.file} {described.base} {described.config}"
        if ("released", word) not in self._known:
            try:
                files = _released(described)
                sha256 = self._content(files) if files else None
            except (OSError, Fault):
                sha256 = None
            self._known["released", word] = self.seen.last(f"released {word}", sha256)
        return self._known["released", word]

    def _content(self, files: Mapping[str, Path]) -> str:
        """The sha256 of one file or folder, or of several by their names."""
        contents = {
            name: self.seen.folder(path) if path.is_dir() else self.seen.file(path) for name, path in files.items()
        }
        return next(iter(contents.values())) if len(contents) == 1 else joined(contents)


def _table_of(prompts: Mapping[str, Any]) -> bool:
    """Whether a section of that name is a table of sections and no list of prompts."""
    return bool(prompts) and all(isinstance(value, dict) for value in prompts.values())


def _teacher(source: str, family: str) -> dict[str, Path]:
    """The files of a published teacher; none unless it is whole."""
    teacher: Any = components.teachers()[family]
    if not teacher.text:
        place = assets.resolve_weights(source)
        if place.suffix in assets.PICKLED:
            return {"pickle": place} if place.is_file() else {}
        files = {name: place / name for name in ("network.safetensors", "teacher.json")}
        return files if all(path.is_file() for path in files.values()) else {}
    return pipeline_files(source, teacher)


def pipeline_files(source: str, family: Any) -> dict[str, Path]:
    """What a family reads of a diffusers folder: descriptions, weights and tokenizers of its components."""
    folder = Path(source) if Path(source).is_dir() else assets.snapshot(source)
    if folder is None or not (folder / "model_index.json").is_file() or not weight_files(folder / family.part):
        return {}
    files = {"model_index.json": folder / "model_index.json"}
    for part in (family.part, "scheduler", "vae", *(name for pair in family.encoders for name in pair)):
        inside = folder / part
        if inside.is_dir():
            texts = [file for file in inside.iterdir() if file.suffix in TEXTS and file.is_file()]
            indices = [file for file in texts if file.name.endswith(".index.json")]  # of weights, read or not
            read = [*(file for file in texts if file not in indices), *weight_files(inside)]
            files |= {f"{part}/{file.name}": file for file in read}
    return files


def _released(described: Released) -> dict[str, Path]:
    """The files of a published generator and of its base; none unless it is whole."""
    files: dict[str, Path] = {}
    family: Any = components.teachers()[described.family]
    for file in (described.file, described.config):
        if file is not None:
            path = found_file(str(described.repository), file)
            if path is None:
                return {}
            files[file] = path
    base = described.repository if described.kind == "pipeline" else described.base
    if base is not None:
        parts = pipeline_files(base, family)
        if not parts:
            return {}
        files |= {f"base/{name}": path for name, path in parts.items()}
    return files


def _pairs(path: str, _: str) -> dict[str, Path]:
    place = assets.resolve_data(Path(path))
    return {"pairs": place} if place.exists() else {}


def _prompt_file(path: str, _: str) -> dict[str, Path]:
    return {"prompts": Path(path)} if Path(path).exists() else {}


def _prompt_list(name: str, _: str) -> dict[str, Path]:
    """The file of a published list, unless its sha256 is known: then no other file is accepted."""
    known = prompt_lists.list_named(name)
    path = None if known.sha256 else assets.find_data("prompts", known.file)
    if path is None:
        return {}
    captions = prompt_lists.captions_behind(known, path)
    return {"prompts": path} | ({"captions": captions} if captions is not None else {})


def _data(name: str, split: str) -> dict[str, Path]:
    return data_sets.files_of(name, split)


def _captions(name: str, split: str) -> dict[str, Path]:
    return data_sets.files_of(name, split, captions=True)


_FILES = {
    "teacher": _teacher,
    "pairs": _pairs,
    "prompts": _prompt_file,
    "list": _prompt_list,
    "data": _data,
    "captions": _captions,
}

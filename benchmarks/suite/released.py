"""Published generators: the descriptions in baselines/released, and where their files are looked for.

A description holds facts only: where the weights lie, how the network is entered, the licence; `confidence` states how
the facts are known. Nothing is downloaded: a repository is looked for in the Hugging Face cache or in a given folder.
benchmarks/run/released.py opens them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from benchmarks.assets import snapshot
from benchmarks.suite.files import read, shown, validated
from benchmarks.suite.strict import Count, Many, Name, Number, Strict, Whole, numbers
from sid.discovery import UnknownName
from sid.fault import Fault

# What decides no image of a generator.
DESCRIPTIVE = {"title", "paper", "licence", "verified", "confidence", "sources", "note", "lacks", "examples"}
RELEASED_DIR = Path(__file__).parents[2] / "baselines" / "released"


class Example(Strict):
    """A folder of the publishers' pictures with what they were made from."""

    name: Name
    images: str = Field(description="their folder in the publishers' code, in order of the seeds")
    prompts: str = Field(description="a file of prompts there, one a line")
    seeds: Many[Whole] = Field(min_length=1, description="of a torch generator, one a picture, on a GPU")


class Released(Strict):
    """One published generator with one number of steps."""

    name: Name
    title: str
    paper: str
    family: str = Field(description="the teacher family whose network it is; one that is not offered needs `lacks`")
    kind: Literal["pipeline", "network", "lora", "edm"] = Field(
        description="a whole pipeline | one network's tensors over a base | adapters over a base | an EDM pickle"
    )
    repository: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    file: str | None = Field(
        None, description="path in the repository, `*` for the only file that fits; absent for a whole pipeline"
    )
    config: str | None = Field(None, description="the network's own config in the repository, if not the base's")
    key: str | None = Field(None, description="under which the file's dictionary holds the tensors")
    prefix: str = Field("", description="before every tensor's name in the file")
    names: Literal["diffusers", "pixart"] = Field("diffusers", description="naming scheme of the tensors")
    wrapper: str | None = Field(
        None, description="the family's wrapper with another process, if the network is entered through one"
    )
    base: str | None = Field(None, description="the pipeline that holds what the file leaves out")
    process: Literal["own", "flow"] = Field("own", description="own: that of the base's scheduler config")
    prediction: Literal["own", "x0", "data-noise"] = Field("own", description="the network's output")
    times: Many[Number] = Field(
        min_length=1, description="times at which it is evaluated: timesteps, sigma (EDM) or t (flow)"
    )
    entrance: Literal["sigma z", "unit noise"] = Field(description="input of the first step")
    renoise: Literal["fresh", "ddim"] = "fresh"
    ends: Number | None = Field(None, description="the time whose noise the last step leaves; absent: none")
    guidance: Number = Field(1.0, description="guidance scale of sampling; 1 is none")
    guidance_embedding: Number | None = Field(None, description="the guidance scale that the network takes as an input")
    tokens: Count | None = Field(None, description="of the text encoder whose length is the pipeline's; absent: usual")
    resolution: Count
    licence: str
    verified: Literal["weights", "layout", "none"] = "layout"
    confidence: Literal["read", "recalled", "inferred"] = Field(
        description="read: in the publishers' own files or card; recalled: by heart; inferred: from what was read"
    )
    sources: Many[str] = Field((), description="where the facts were read")
    lacks: str = Field("", description="what is missing here to open it; absent: it opens")
    examples: Many[Example] = Field((), description="the publishers' own pictures, for `sidbench released check`")
    note: str = ""

    @property
    def steps(self) -> int:
        return len(self.times)

    def deciding(self) -> dict[str, Any]:
        """All that decides an image, for digests."""
        unset = {"tokens"} if self.tokens is None else set()
        return self.model_dump(mode="json", exclude=DESCRIPTIVE | unset)

    @model_validator(mode="after")
    def _whole(self) -> Released:
        needed = {"pipeline": ("repository",), "edm": ("repository", "file")}
        for key in needed.get(self.kind, ("repository", "file", "base")):
            if not getattr(self, key):
                raise ValueError(f"kind {self.kind} needs {key}")
        if any(later >= earlier for earlier, later in zip(self.times, self.times[1:], strict=False)):
            raise ValueError("times must fall")
        return self


@lru_cache
def released(folder: Path = RELEASED_DIR) -> Mapping[str, Released]:
    """Every description by name; faults name their file."""
    descriptions: dict[str, Released] = {}
    wrong: list[str] = []
    for name in names(folder):
        try:
            descriptions[name] = _read(folder / f"{name}.yaml")
        except Fault as fault:
            wrong += fault.sentences
    if wrong:
        raise Fault(wrong)
    return descriptions


@lru_cache
def names(folder: Path = RELEASED_DIR) -> tuple[str, ...]:
    """Of every description: those of their files."""
    return tuple(sorted(file.stem for file in folder.glob("*.yaml")))


def describe(name: str) -> Released:
    """The description of that name, or a Fault with the nearest one. The others are not read: a plan has many rows."""
    if name not in names():
        raise UnknownName("released generator", name, names())
    return _read(RELEASED_DIR / f"{name}.yaml")


@cache
def _read(file: Path) -> Released:
    described = validated(Released, file, numbers(read(file)))
    if described.name != file.stem:
        raise Fault(f"{shown(file)}: name: is '{described.name}', and the file is called '{file.stem}'")
    return described


def locate_file(repository: str, file: str, places: Mapping[str, Path]) -> Path:
    """A file of a repository. `*` in its name finds the only file that fits.

    Args:
        repository: owner/name in the Hugging Face cache.
        file: The path inside it.
        places: Repository -> a folder to read it from instead.
    """
    if "*" in file:
        return _only_file(repository, file, places)
    if repository in places:
        inside = Path(places[repository]) / file
        if not inside.is_file():
            raise Fault(f"{places[repository]} has no {file} (expected that file of {repository})")
        return inside
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except (LocalEntryNotFoundError, EntryNotFoundError, RuntimeError):  # a user without a home has no cache
        raise Fault(
            f"{file} of {repository} is not in the Hugging Face cache, and nothing is downloaded by itself; "
            f"to fetch it: hf download {repository} {file}"
        ) from None


def found_file(repository: str, file: str) -> Path | None:
    """That file in the cache, without the package that made the cache; None if it is not there."""
    folder = snapshot(repository)
    if folder is None:
        return None
    matches = sorted(folder.glob(file)) if "*" in file else [folder / file]
    return matches[0] if len(matches) == 1 and matches[0].is_file() else None


def _only_file(repository: str, pattern: str, places: Mapping[str, Path]) -> Path:
    """The only file of that pattern, for repositories whose file names are not known for certain."""
    folder = places.get(repository)
    if folder is None:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, RuntimeError):
            raise Fault(
                f"{repository} is not in the Hugging Face cache, and nothing is downloaded by itself; "
                f"to fetch it: hf download {repository}"
            ) from None
    matches = sorted(Path(folder).glob(pattern))
    if len(matches) != 1:
        listed = ", ".join(file.name for file in matches[:5]) or "none"
        raise Fault(f"{folder} should hold one file {pattern} (of {repository}), and holds {listed}")
    return matches[0]

"""A job of a suite: one call of `sidbench` with the files it reads and writes. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["teacher", "extractor", "prompts", "latents", "pairs", "run", "table", "report"]
KINDS: tuple[Kind, ...] = ("teacher", "extractor", "prompts", "latents", "pairs", "run", "table", "report")
SHARED_KINDS = KINDS[:5]  # what runs wait for, made once for all suites
SHARED = "_shared"  # the folder of those below the results

SCORED = ("scores.json", "samples.npz", "record.json")
# The declared outputs by kind; teachers that are published and runs without training have kinds of their own here.
FILES: Mapping[str, tuple[str, ...]] = {
    "teacher": ("network.safetensors", "teacher.json", "record.json"),
    "published": ("teacher.json", "record.json"),  # its weights lie elsewhere
    "prompts": ("prompts.json", "null.safetensors", "record.json"),
    "latents": ("latents.json", "record.json"),
    "extractor": ("network.safetensors", "extractor.json", "record.json"),
    "pairs": ("pairs.safetensors", "record.json"),
    "method": ("generator.safetensors", "generator.json", "curve.jsonl", *SCORED),
    "control": SCORED,
    "table": ("verdict.md", "verdict.csv", "verdict.tex", "claims.md", "claims.csv"),
    "papers": ("papers/index.md",),  # the papers' own tables, of a suite with published teachers
}
# How many folders above a job's first output the results are.
LEVELS: Mapping[Kind, int] = {**dict.fromkeys(SHARED_KINDS, 4), "run": 6, "table": 3, "report": 3}


@dataclass(frozen=True)
class Job:
    """One call of `sidbench`. Paths are relative to where the call is made."""

    kind: Kind
    id: str  # a digest, "task/entry/seed", or the suite's name
    digest: str
    versions: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)  # everything that the call needs, as plain data
    resources: Mapping[str, int] = field(default_factory=dict)
    work: float = 0.0  # network passes over one image, for the order and the remaining time

    @property
    def folder(self) -> Path:
        """The folder of its outputs."""
        return Path(self.outputs[0]).parent

"""One call of `sidbench` that a suite asks for, and the files it declares. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["teacher", "extractor", "prompts", "latents", "pairs", "run", "table", "report"]
KINDS: tuple[Kind, ...] = ("teacher", "extractor", "prompts", "latents", "pairs", "run", "table", "report")
SHARED = "_shared"  # the folder below the results where that lies
SHARED_KINDS = KINDS[:5]  # what others wait for, made once for all suites

# The declared outputs of a job. What trained a network is written beside what it scored.
SCORED = ("scores.json", "samples.npz", "record.json")
FILES: Mapping[str, tuple[str, ...]] = {
    "teacher": ("network.safetensors", "teacher.json", "record.json"),
    "published": ("teacher.json", "record.json"),  # a teacher whose weights lie elsewhere
    "prompts": ("prompts.json", "null.safetensors", "record.json"),
    "latents": ("latents.json", "record.json"),
    "extractor": ("network.safetensors", "extractor.json", "record.json"),
    "pairs": ("pairs.safetensors", "record.json"),
    "method": ("generator.safetensors", "generator.json", "curve.jsonl", *SCORED),
    "control": SCORED,
    "table": ("verdict.md", "verdict.csv", "verdict.tex"),
}


@dataclass(frozen=True)
class Job:
    """One call of `sidbench`. Paths are relative to where the call is made."""

    kind: Kind
    id: str  # a digest, "task/entry/seed", or the suite's name
    digest: str
    versions: Mapping[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)  # everything the call needs to know, as plain data
    resources: Mapping[str, int] = field(default_factory=dict)
    work: float = 0.0  # network passes over one image: for the order and the remaining time

    @property
    def folder(self) -> Path:
        """Where its outputs lie."""
        return Path(self.outputs[0]).parent

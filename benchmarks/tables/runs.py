"""Finished runs on the disk. Missing and damaged files are reported, never trusted."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np


Key = tuple[str, str, int]  # task, entry, seed


@dataclass(frozen=True)
class Run:
    """One run's folder: its scores and record; its curve and samples are read on request."""

    folder: Path
    task: str
    entry: str
    seed: int
    scores: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""  # why its scores cannot be used; empty if they can

    @property
    def key(self) -> Key:
        return self.task, self.entry, self.seed

    @property
    def digest(self) -> str:
        return str(self.scores.get("digest", ""))

    def value(self, metric: str) -> float | None:
        """The metric's value, or None if the run has none."""
        score = self.scores.get("metrics", {}).get(metric)
        return None if score is None else float(score["value"])

    def details(self, metric: str) -> Mapping[str, Any]:
        """The numbers beside the metric's value: its parts, the trials, other papers' selection rules."""
        return self.scores.get("metrics", {}).get(metric, {}).get("details", {})

    @property
    def notes(self) -> tuple[str, ...]:
        """How its images were made otherwise than by the protocol's source, as its record states."""
        notes = self.record.get("notes")
        return tuple(str(note) for note in notes) if isinstance(notes, list) else ()

    def trial_spread(self, metric: str) -> float:
        """The sample standard deviation over the trials; 0 for a single trial, or if they are not averaged."""
        details = self.details(metric)
        trials = details.get("trials", ()) if details.get("rule") == "mean" else ()
        return statistics.stdev(trials) if len(trials) > 1 else 0.0

    def unavailable(self, metric: str) -> str:
        """Why the run has no value of the metric."""
        return str(self.scores.get("unavailable", {}).get(metric, "the run did not score it"))

    def random(self, metric: str) -> bool:
        """Whether networks with random weights computed the value: a rehearsal, no measurement."""
        score = self.scores.get("metrics", {}).get(metric, {})
        seeds = (self.scores.get("random_weights"), score.get("random_weights"))
        return any(seed is not None and seed is not False for seed in seeds)  # 0 is a seed

    def curve(self) -> list[dict[str, float]]:
        """The points that were observed during training, by images; empty for a control."""
        try:
            lines = (self.folder / "curve.jsonl").read_text(encoding="utf-8").splitlines()
            points = [parsed(line) for line in lines if line.strip()]
        except (OSError, ValueError):
            return []
        whole = [point for point in points if isinstance(point, dict) and isinstance(point.get("images"), int)]
        return sorted(whole, key=lambda point: point["images"])

    def samples(self) -> np.ndarray | None:
        """The images of the first sample indices, uint8 [n, channels, height, width]."""
        images = self._array("images")
        if images is None or images.dtype != "uint8" or images.ndim != 4 or images.shape[1] not in (1, 3):
            return None
        return images

    def captions(self) -> list[str]:
        """The prompts of the samples, one an image; empty if the model takes no text."""
        captions = self._array("captions")
        return [str(caption) for caption in captions] if captions is not None and captions.dtype.kind == "U" else []

    def _array(self, name: str) -> np.ndarray | None:
        """One array of the samples' file."""
        import numpy as np

        try:
            with np.load(self.folder / "samples.npz", allow_pickle=False) as file:
                return file[name]
        except (OSError, ValueError, KeyError):
            return None


def suite_folders(folder: Path) -> list[Path]:
    """A suite's folder itself, or all suites' folders in a folder of results."""
    if (folder / "runs").is_dir():
        return [folder]
    inner = sorted(folder.iterdir()) if folder.is_dir() else []
    suites = [path for path in inner if (path / "runs").is_dir()]
    if not suites:
        raise Fault(f"{folder}: holds no results (a suite's folder has a folder 'runs')")
    return suites


def read_runs(folder: Path) -> dict[Key, Run]:
    """All runs of one results/<suite> folder."""
    runs = {}
    for scores in sorted((folder / "runs").glob("*/*/*/scores.json")):
        task, entry, seed = scores.parts[-4:-1]
        if seed.isascii() and seed.isdigit():
            run = _read(scores.parent, task, entry, int(seed))
            runs[run.key] = run
    return runs


def _read(folder: Path, task: str, entry: str, seed: int) -> Run:
    try:
        scores = _json(folder / "scores.json")
        stated = tuple(scores.get(name, own) for name, own in (("task", task), ("entry", entry), ("seed", seed)))
        if stated != (task, entry, seed):
            raise ValueError(f"scores.json is of {'/'.join(str(part) for part in stated)}")
        for name, score in scores.get("metrics", {}).items():
            if not isinstance(score, dict) or not isinstance(score.get("value"), (int, float)):
                raise ValueError(f"scores.json has no number for {name}")
    except (OSError, ValueError) as error:
        return Run(folder, task, entry, seed, fault=_reason(error))
    try:
        record = _json(folder / "record.json")
    except (OSError, ValueError):
        record = {}  # the page reports that there is none
    return Run(folder, task, entry, seed, scores, record)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return "scores.json is no valid JSON"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _json(file: Path) -> dict[str, Any]:
    content = parsed(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{file.name} is no JSON object")
    return content


def merge(folders: Iterable[Path]) -> dict[Key, Run]:
    """The runs of several folders of one suite; refuses two different results of the same run."""
    merged: dict[Key, Run] = {}
    clashes = []
    for folder in folders:
        for key, run in read_runs(folder).items():
            other = merged.setdefault(key, run)
            if (other.scores, other.fault) != (run.scores, run.fault):
                clashes.append(f"{other.folder} and {run.folder} hold different results of one run")
    if clashes:
        raise Fault([*clashes, "see what differs with: sidbench compare FOLDER FOLDER"])
    return merged


def suite_name(folder: Path) -> str:
    """The suite whose results a folder holds, as its runs state."""
    for run in read_runs(folder).values():
        if run.scores.get("suite"):
            return str(run.scores["suite"])
    return folder.resolve().name

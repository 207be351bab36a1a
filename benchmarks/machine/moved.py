"""Which finished results of a suite are made again, and why: record.json against the plan, field by field.

A result is made again when its digest changes. The digest itself says nothing; what the record holds beside it does:
the parameters and the versions of that time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.suite.job import SHARED
from sid.fault import Fault, parsed
from sid.loop.changes import changes
from sid.parallel.settings import EngineSettings

if TYPE_CHECKING:
    from benchmarks.suite.job import Job, Kind
    from benchmarks.suite.plan import Plan

# The parameters that hold the folder of another job, whose name is a digest, and the kind of that job.
FOLDERS: Mapping[str, Kind] = {
    "teacher": "teacher",
    "pairs": "pairs",
    "latents": "latents",
    "prompts": "prompts",
    "captions": "prompts",
    "teacher_folder": "teacher",
    "prompts_folder": "prompts",
}
# Parameters that decide no number: names, paths, and settings of the loop that only report.
SILENT = ("folder", "state", "entry", "label", "name", "protocol", "takes", "leaves", "extractors", "init")
REPORTING = ("log_images", "save_seconds")
SHOWN = 3  # reasons of a row; of more, their number


def is_moved(job: Job) -> bool:
    """Whether a finished result lies in the job's folder under another digest."""
    recorded = _record(job.folder)
    return bool(recorded) and recorded.get("digest") != job.digest


def summary(sentences: list[str]) -> str:
    """The first few reasons in one line."""
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def reasons(job: Job, plan: Plan) -> list[str]:
    """What differs between the job and the record in its folder."""
    recorded = _record(job.folder)
    return list(dict.fromkeys(_changes(recorded, job, plan))) or [
        f"its digest {recorded.get('digest')} -> {job.digest}, and nothing that its record holds differs"
    ]


def _record(folder: Path) -> dict[str, Any]:
    """The record of a finished job; empty where there is none, or none that can be read."""
    try:
        content = parsed((folder / "record.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _changes(recorded: Mapping[str, Any], job: Job, plan: Plan) -> Iterator[str]:
    yield from _versions(_section(recorded, "versions"), job.versions)
    before, now = _section(recorded, "recipe"), dict(job.params)
    for key, kind in FOLDERS.items():
        if key in before or key in now:
            yield from _artefact(key.removesuffix("_folder"), kind, before.get(key), now.get(key), plan)
    extractors, present = _section(before, "extractors"), _section(now, "extractors")
    for name in sorted({*extractors, *present}):
        yield from _artefact(f"extractor {name}", "extractor", extractors.get(name), present.get(name), plan)
    yield from _beginning(before.get("init"), now.get("init"), plan)
    yield from _fields(_deciding(before), _deciding(now))


def _section(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A part of a record; empty where it is absent or no mapping."""
    value = content.get(key)
    return dict(value) if isinstance(value, Mapping) else {}


def _versions(before: Mapping[str, Any], now: Mapping[str, int]) -> Iterator[str]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield f"{name.replace(':', ' ')} version {_shown(before.get(name))} -> {_shown(now.get(name))}"


def _artefact(what: str, kind: Kind, before: Any, now: Any, plan: Plan) -> Iterator[str]:
    """An input with another digest, and what moved in it where its own record is still there."""
    old, new = (Path(str(path)).name if path else None for path in (before, now))
    if old == new:
        return
    moved: list[str] = []
    if old and new:
        try:
            job = plan.find(kind, new)
        except Fault:
            job = None
        recorded = _record(Path(plan.results) / SHARED / kind / old)
        moved = list(_changes(recorded, job, plan)) if job is not None and recorded else []
    yield from (f"its {what}: {sentence}" for sentence in moved)
    if not moved:
        yield f"its {what} {_shown(old)} -> {_shown(new)}"


def _beginning(before: Any, now: Any, plan: Plan) -> Iterator[str]:
    """The row that a second stage goes on from."""
    old, new = ("/".join(Path(str(path)).parts[-3:]) if path else None for path in (before, now))
    if old != new:
        yield f"it goes on from {_shown(old)} -> {_shown(new)}"
    elif new is not None and is_moved(plan.find("run", new)):
        yield f"it goes on from {new}, which is made again"


def _deciding(params: Mapping[str, Any]) -> dict[str, Any]:
    """What of a job's parameters decides its result, beside its inputs."""
    left_out = {*SILENT, *FOLDERS}
    values = {key: value for key, value in params.items() if key not in left_out}
    values["recipe"] = {key: value for key, value in _section(params, "recipe").items() if key not in REPORTING}
    engine = _section(params, "engine")
    try:
        values["engine"] = EngineSettings(**engine).decisive()
    except TypeError:  # of a time with other settings
        values["engine"] = engine
    return values


def _fields(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for change in changes(*(json.loads(json.dumps(values)) for values in (before, now))):
        yield f"{change.name} {_shown(change.before)} -> {_shown(change.now)}"


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

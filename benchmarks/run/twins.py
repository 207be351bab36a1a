"""A run that another suite of the same results has made: taken over instead of made again.

A suite that extends another (`mini-full` extends `mini`) holds runs of the same name and digest. The digest covers all
that decides a result, so the files are the same; the record says which suite made them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid import atomic
from sid.fault import parsed

if TYPE_CHECKING:
    from benchmarks.suite.job import Job
    from benchmarks.suite.plan import Plan

OWN = ("scores.json", "record.json")  # which name their suite, and are written anew


def take_over(job: Job, plan: Plan) -> str | None:
    """Links a finished run of this name and digest into the job's folder; returns the suite that made it."""
    for path in sorted(Path(plan.results).glob(f"*/runs/{job.id}/record.json")):
        suite, record, scores = path.parents[4].name, _content(path), _content(path.with_name("scores.json"))
        whole = all((path.parent / Path(output).name).is_file() for output in job.outputs)
        scored = not scores.get("unavailable")  # a column's missing weights may be here now
        if suite != plan.suite.name and whole and scored and record.get("digest") == scores.get("digest") == job.digest:
            for file in sorted(path.parent.iterdir()):
                if file.is_file() and file.name not in OWN:
                    _link(file, job.folder / file.name)
            described = {"suite": plan.suite.name, "label": job.params["label"]}
            atomic.write_json(job.folder / "scores.json", scores | described)
            params = {name: value for name, value in job.params.items() if name not in ("folder", "state")}
            atomic.write_json(job.folder / "record.json", record | {"recipe": params, "taken_from": suite})
            return suite
    return None


def _content(path: Path) -> dict[str, Any]:
    """A JSON file's mapping; empty where it cannot be read."""
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _link(file: Path, target: Path) -> None:
    """The same bytes under a second name, by a hard link where the file system has them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)

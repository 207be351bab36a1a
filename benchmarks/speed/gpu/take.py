"""Records of a GPU, from the folder where `make gpu` left them into the project: `--take OUT`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.speed import page
from benchmarks.speed.race import ratios
from sid import atomic
from sid.fault import Fault

# The records that are no training step, by the step's name in the plan; what they are called in the project.
OTHERS = {
    "env": "ceilings-cuda",
    "tests": "tests-cuda",
    "tests-compiled": "tests-compiled-cuda",
    "mini": "mini-cuda",
    "features": "features-cuda",
    "sampling": "generation-cuda",
    "steps": "gpu-steps",
}


def take(out: Path, records: Path = page.RECORDS, shown: Path = page.PAGE) -> list[Path]:
    """Files all that is there and makes the page anew; what was written, in order."""
    steps = _read(out / "steps.json")
    if steps is None:
        raise Fault(f"{out / 'steps.json'} is not there: OUT is the folder in which `make gpu` left its records")
    if steps["tiny"]:
        raise Fault(f"{out} holds a rehearsal of small networks on a CPU: its numbers say nothing and are not filed")
    written = []
    for name, record in filed(out).items():
        atomic.write_json(records / f"{name}.json", record)
        written.append(records / f"{name}.json")
    atomic.write_text(shown, page.page(records))
    return [*written, shown]


def filed(out: Path) -> dict[str, dict[str, Any]]:
    """The project's records, by name."""
    records, straightforward = {}, []
    for path in sorted(out.glob("*.json")):
        record = _read(path)
        if record is None or "skipped" in record:
            continue
        if path.stem in OTHERS:
            records[OTHERS[path.stem]] = record
        elif path.stem.endswith("-straightforward"):
            straightforward.append(record)
        elif "case" in record:
            variant = f"-{record['variant']}" if record["variant"] else ""
            records[f"{record['case']}{variant}-cuda"] = record
    for other in straightforward:
        name = f"{other['case']}-cuda"
        records[name] = joined(records[name], other) if name in records else other
    return records


def joined(ours: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both sides of a step, which were measured one after the other, as one record.

    Sides of two machines, or of two sizes, have no ratio: ours then stands alone.
    """
    if any(ours[name] != other[name] for name in ("device", "batch", "versions")):
        return ours
    record = {**ours, "straightforward command": other["command"]}
    for name in ("all seconds", "images per second", "peak bytes"):
        record[name] = {**other.get(name, {}), **ours.get(name, {})}
    record["seconds"] = {clock: {**other["seconds"][clock], **ours["seconds"][clock]} for clock in ours["seconds"]}
    return record | ratios(record["all seconds"])


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None

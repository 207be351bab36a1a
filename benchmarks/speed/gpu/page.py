"""The part of docs/speed.md that only a GPU can fill, from its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STEPS = {
    "sid-ddpmpp-32": "SiD, DDPM++",
    "sid-lsg-sd15": "SiD-LSG, SD 1.5",
    "sid-few-step-sdxl": "few-step SiD, SDXL",
    "dmd2-sdxl": "DMD2, SDXL",
}


def section(records: Path) -> list[str]:
    """Ceilings, what a step takes in its settings, and whether the numbers are the CPU's."""
    lines = ["## On a GPU", ""]
    parts = [*_ceilings(records), *_training(records), *_trust(records), *_features(records)]
    if not parts:
        return [*lines, "Not measured yet: `make gpu` (`benchmarks/speed/gpu/`) does it within eight minutes.", ""]
    return [*lines, *parts]


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _ceilings(records: Path) -> list[str]:
    record = _read(records / "ceilings-cuda.json")
    if record is None:
        return []
    names = ("bf16 TFLOP/s", "fp32 TFLOP/s", "copy GB/s", "launch us")
    figures = ", ".join(f"{name} {record[name]:.3g}" for name in names if name in record)
    return [f"The machine's ceilings: {figures} ({record['device']}, {record['date']}, `{record['command']}`).", ""]


def _training(records: Path) -> list[str]:
    """Every setting of every step, whatever it is compared with."""
    rows = []
    for case, title in STEPS.items():
        for path in sorted(records.glob(f"{case}*-cuda.json")):
            record = json.loads(path.read_text())
            if "ours" in record["seconds"].get("wall", {}) or record.get("peak bytes"):
                rows.append(f"| {title} | {record.get('variant') or 'its own'} | {_figures(record)} |")
    if not rows:
        return []
    head = ["Busy: the share of a round in which a kernel ran, from a round of its own under torch's profiler.", ""]
    head += ["| step | setting | batch | seconds | images a second | TFLOP/s | issued by the host in | busy | peak |"]
    return [*head, "|---|---|---|---|---|---|---|---|---|", *rows, ""]


def _figures(record: dict[str, Any]) -> str:
    wall, host = (record["seconds"].get(clock, {}).get("ours") for clock in ("wall", "host"))
    cells = [str(record["batch"])]
    cells += [f"{wall:.2f}" if wall else "", f"{record['images per second']['ours']:.1f}" if wall else ""]
    cells.append(f"{record['flops'] / wall / 1e12:.0f}" if wall and record.get("flops") else "")
    cells.append(f"{host:.2f}" if host else "")
    profile = record.get("profile")
    busy = f"{100 * profile['busy ms'] / 1e3 / wall:.0f} % ({profile['kernels']} kernels)" if profile and wall else ""
    peak = record.get("peak bytes", {}).get("ours", "")
    unfinished = " (unfinished)" if record.get("unfinished") else ""
    return " | ".join([*cells, busy, (f"{peak / 2**30:.1f} GiB" if isinstance(peak, int) else peak) + unfinished])


def _trust(records: Path) -> list[str]:
    lines = []
    for name in ("tests", "tests-compiled"):
        if record := _read(records / f"{name}-cuda.json"):
            counts = ", ".join(f"{count} {outcome}" for outcome, count in record["counts"].items())
            failed = [test for test, seen in record["tests"].items() if seen["outcome"] == "failed"]
            lines.append(f"* `{name}`: {counts}{'; failed: ' + ', '.join(failed) if failed else ''}")
    if record := _read(records / "mini-cuda.json"):
        for run, scores in record["runs"].items():
            metrics = [name for name, value in scores.items() if isinstance(value, dict)]
            lines.append(f"* {record['suite']} {run}: {', '.join(_pair(name, scores[name]) for name in metrics)}")
    return ["The numbers there, beside a CPU's of the same runs:", "", *lines, ""] if lines else []


def _pair(name: str, values: dict[str, float | None]) -> str:
    other = values["CPU"]
    return f"{name} {values['here']:.5g}" + (f" (CPU {other:.5g})" if other is not None else "")


def _features(records: Path) -> list[str]:
    record = _read(records / "features-cuda.json")
    if record is None:
        return []
    rates = ", ".join(f"{rate:.0f} at {batch}" for batch, rate in record.get("images per second by batch", {}).items())
    difference = record["relative difference to the CPU's features"]
    return [f"Inception: images a second by batch {rates}; its features differ from the CPU's by {difference:.1e}.", ""]

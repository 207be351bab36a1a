"""docs/speed.md, made from the records: `python -m benchmarks.speed.page`. A test compares it with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.speed.gpu.page import section
from sid import atomic

RECORDS = Path(__file__).parent / "records"
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
HEAD = """# Speed

Each figure is a ratio of two sides measured in one run, on the machine that its record names; the records lie in
`benchmarks/speed/records/`, and `make bench` makes them anew. No test times anything.

The straightforward step (`benchmarks/speed/straightforward.py`) is a training step as the published scripts write it:
float32, no compile, no cache, prompts encoded in every call, guidance in two passes. It has the same networks, the same
attention kernel and torch's foreach Adam, and waits for nothing. A test counts its passes and pins its bytes.
"""
CASES = {
    "sid-ddpmpp-32": "SiD, DDPM++, 32 px",
    "sid-lsg-sd15": "SiD-LSG, SD 1.5, 512 px",
    "sid-few-step-sdxl": "few-step SiD, SDXL, 1024 px, all weights",
    "dmd2-sdxl": "DMD2 with GAN, SDXL, 1024 px, all weights",
}
DEVICES = ("cpu", "cuda")
BOUND = """On the CPU both sides run at the rate of large matrix products: the same passes in the same precision
can't be made faster by a better step. Measured once beside it, by hand: a forward pass of DDPM++ for 8 images
takes 1.64 s in channels-last order and 1.65 s in torch's own; a compiled step takes 0.95 to 1.01 of the
straightforward one. With torch 2.13, CPU build, a forward takes 1.67 s and 1.76 s (AVX2 alone: 1.79 s and 1.91 s) and
our step 1.01 of the straightforward one."""


def page(records: Path = RECORDS) -> str:
    """The whole page."""
    return "\n".join(
        [HEAD, *_steps(records), *section(records), *_generation(records), *_workflow(records), *_metrics(records)]
    )


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _said(record: dict[str, Any]) -> str:
    load = record["load_before"][0]
    device = record.get("device", "a CPU")
    return f"{device}, {record['threads']} threads, torch {record['versions']['torch']}, load {load:.1f}"


def _steps(records: Path) -> list[str]:
    lines = ["## Training steps", "", "Ratio: our seconds over the straightforward step's.", ""]
    lines += ["| step | device | batch | ratio, wall | ratio, processor | over bare passes | matrix rate | peak |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    commands = []
    for case, title in CASES.items():
        for device in DEVICES:
            record = _read(records / f"{case}-{device}.json")
            if record is None:
                if device == "cuda" or case == "sid-ddpmpp-32":
                    lines.append(f"| {title} | {device} | | not measured yet | | | | |")
                continue
            lines.append(f"| {title} | {device} | {record['batch']} | {_figures(record)} |")
            commands.append(f"* {title}, {device}: `{record['command']}` on {_said(record)}")
    lines += ["", BOUND]
    ready = "What is not measured yet is ready to run: `make bench` on a machine with a GPU measures all of it, and"
    ready += "\n`make gpu` the most valuable part within eight minutes and without a package index."
    return [*lines, "", ready, "", *commands, ""]


def _figures(record: dict[str, Any]) -> str:
    ratio, over = record.get("ratio", {}), record.get("overhead over bare passes", {})
    cells = [f"{ratio[clock]:.2f}" if clock in ratio else "" for clock in ("wall", "cpu")]
    cells.append(f"{100 * over['wall']:+.1f} % (processor {100 * over['cpu']:+.1f} %)" if over else "")
    share = record.get("share of the matrix rate")
    cells.append(f"{100 * share:.0f} % of {record['matrix type']}" if share else "")
    peaks = record.get("peak bytes", {})
    told = (
        f"{name} {peak / 2**30:.0f} GiB" if isinstance(peak, int) else f"{name} {peak}" for name, peak in peaks.items()
    )
    return " | ".join([*cells, ", ".join(told)])


def _generation(records: Path) -> list[str]:
    lines = ["## One-step sampling", "", "Noise by seed to bytes, against the published scripts' loop.", ""]
    for device in DEVICES:
        record = _read(records / f"generation-{device}.json")
        if record is None:
            lines.append(f"* {device}: not measured yet")
        else:
            wall, cpu = record["ratio"]["wall"], record["ratio"]["cpu"]
            lines.append(f"* {device}: {wall:.2f} of its time ({cpu:.2f} of its processor time), `{record['command']}`")
    return [*lines, ""]


def _workflow(records: Path) -> list[str]:
    lines, record = ["## Workflow", ""], _read(records / "workflow.json")
    if record is None:
        return [*lines, "Not measured yet: `python -m benchmarks.speed.workflow --share mini`.", ""]
    each, nothing = record["planning"]["milliseconds a job"], record["nothing to do"]["seconds"]
    lines += [f"* planning: {each['wall']:.2f} ms a job above a small plan (processor {each['cpu']:.2f} ms)"]
    lines += [f"* `make reproduce` with nothing to do: {nothing['wall']:.1f} s (processor {nothing['cpu']:.1f} s)"]
    if share := record.get("share"):
        lines.append(
            f"* start-up and orchestration: {100 * share['share']:.0f} % of the {share['suite']} suite's wall time"
            f" (`{share['command']}`)"
        )
    return [*lines, "", f"`{record['command']}` on {_said(record)}", ""]


def _metrics(records: Path) -> list[str]:
    lines, record = ["## Metrics", ""], _read(records / "metrics.json")
    if record is None:
        return [*lines, "Not measured yet: `python -m benchmarks.speed.metrics`.", ""]
    if "arithmetic" in record:
        faster = record["arithmetic"]["times faster"]["wall"]
        lines += [
            f"* one Frechet distance, d = 2048: {faster['ours']:.1f} times as fast as scipy's matrix square root;"
        ]
        lines += [f"  {faster['ours, root kept']:.1f} times where the reference's root is kept"]
    if "extraction" in record:
        over = record["extraction"]["ours over the sum of the peers"]["wall"]
        lines += [f"* one pass for FID, KID, Inception Score, precision and recall: {over:.2f} of what the peers take"]
    return [*lines, "", f"`{record['command'].strip()}` on {_said(record)}", ""]


def main() -> int:
    atomic.write_text(PAGE, page())
    print(PAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""docs/speed.md, made from the records: `python -m benchmarks.speed.page`. A test compares the page with them.

`take` also files a GPU's records, from the folder in which `make gpu` left them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.speed.steps import ratios
from sid import atomic
from sid.fault import Fault

RECORDS = Path(__file__).parent / "records"
PAGE = Path(__file__).parents[2] / "docs" / "speed.md"
HEAD = """# Speed

Each figure is a ratio of two sides measured in one run, on the machine that its record names; the records lie in
`benchmarks/speed/records/`, and `make bench` measures them again. No test times anything.

The straightforward step (`benchmarks/speed/straightforward.py`) is a training step as the published scripts write it:
float32, no compile, no cache, prompts encoded in every call, guidance in two passes. It has the same networks, the same
attention kernel and torch's foreach Adam, and never waits for the device. A test counts its passes and pins its bytes.
"""
CASES = {  # titles in the table of ratios and in that of the GPU's settings
    "sid-ddpmpp-32": ("SiD, DDPM++, 32 px", "SiD, DDPM++"),
    "sid-lsg-sd15": ("SiD-LSG, SD 1.5, 512 px", "SiD-LSG, SD 1.5"),
    "sid-few-step-sdxl": ("few-step SiD, SDXL, 1024 px, all weights", "few-step SiD, SDXL"),
    "dmd2-sdxl": ("DMD2 with GAN, SDXL, 1024 px, all weights", "DMD2, SDXL"),
}
DEVICES = ("cpu", "cuda")
BOUND = """On the CPU both sides run at the rate of large matrix products: the same passes in the same precision
can't be made faster by a better step. Measured once beside it, by hand: a forward pass of DDPM++ for 8 images
takes 1.64 s in channels-last order and 1.65 s in torch's own; a compiled step takes 0.95 to 1.01 of the
straightforward one. With torch 2.13, CPU build, a forward takes 1.67 s and 1.76 s (AVX2 alone: 1.79 s and 1.91 s) and
our step 1.01 of the straightforward one."""


def page(records: Path = RECORDS) -> str:
    """The page's text."""
    parts = (_steps, _gpu, _pretended, _generation, _workflow, _metrics)
    return "\n".join([HEAD, *(line for part in parts for line in part(records))])


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _machine(record: dict[str, Any]) -> str:
    load = record["load_before"][0]
    device = record.get("device", "a CPU")
    return f"{device}, {record['threads']} threads, torch {record['versions']['torch']}, load {load:.1f}"


def _steps(records: Path) -> list[str]:
    lines = ["## Training steps", "", "Ratio: our seconds over the straightforward step's.", ""]
    lines += ["| step | device | batch | ratio, wall | ratio, processor | over bare passes | matrix rate | peak |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    commands = []
    for case, (title, _) in CASES.items():
        for device in DEVICES:
            record = _read(records / f"{case}-{device}.json")
            if record is None:
                if device == "cuda" or case == "sid-ddpmpp-32":
                    lines.append(f"| {title} | {device} | | not measured yet | | | | |")
                continue
            lines.append(f"| {title} | {device} | {record['batch']} | {_figures(record)} |")
            commands.append(f"* {title}, {device}: `{record['command']}` on {_machine(record)}")
    lines += ["", BOUND]
    ready = "What is not measured yet is ready to run: on a machine with a GPU `make bench` measures all of it, and"
    ready += "\n`make gpu` the most valuable part within eight minutes and without a package index."
    return [*lines, "", ready, "", *commands, ""]


def _figures(record: dict[str, Any]) -> str:
    ratio, over = record.get("ratio", {}), record.get("overhead over bare passes", {})
    cells = [f"{ratio[clock]:.2f}" if clock in ratio else "" for clock in ("wall", "cpu")]
    cells.append(f"{100 * over['wall']:+.1f} % (processor {100 * over['cpu']:+.1f} %)" if over else "")
    share = record.get("share of the matrix rate")
    cells.append(f"{100 * share:.0f} % of {record['matrix type']}" if share else "")
    peaks = record.get("peak bytes", {})
    memory = (
        f"{name} {peak / 2**30:.0f} GiB" if isinstance(peak, int) else f"{name} {peak}" for name, peak in peaks.items()
    )
    return " | ".join([*cells, ", ".join(memory)])


def _pretended(records: Path) -> list[str]:
    path = records / "pretended.json"
    if not path.is_file():
        return []
    # Not at the top: `make gpu` imports this file without packages.
    from benchmarks.speed.pretended.table import compared, table

    record, before = json.loads(path.read_text()), records / "pretended-before.json"
    lines = [
        "## Counted on a pretended device",
        "",
        "The trainer itself on fake tensors (`benchmarks/speed/pretended/`): an iteration that updates every player.",
        "Nothing here is measured. Launches are operators: one that works on a list of tensors counts once. Traffic is",
        "what arguments and results hold; workspaces and the allocator's fragments are missing. Estimated is the peak",
        "that `sidbench plan` expects.",
        "",
        *table(path),
        "",
        f"`{record['command']}` with torch {record['versions']['torch']}, diffusers {record['versions']['diffusers']}",
        "",
    ]
    if before.is_file():
        commit = json.loads(before.read_text())["commit"]
        lines += [f"The same steps at commit {commit}, counted by the same means:", "", *compared(path, before), ""]
    return lines


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
    return [*lines, "", f"`{record['command']}` on {_machine(record)}", ""]


def _metrics(records: Path) -> list[str]:
    lines, record = ["## Metrics", ""], _read(records / "metrics.json")
    if record is None:
        return [*lines, "Not measured yet: `python -m benchmarks.speed.metrics`.", ""]
    if "arithmetic" in record:
        faster = record["arithmetic"]["times faster"]["wall"]
        lines += [
            f"* one Frechet distance, d = 2048: {faster['ours']:.1f} times as fast as scipy's matrix square root;"
        ]
        lines += [f"  {faster['ours, root kept']:.1f} times where the reference's root is cached"]
    if "extraction" in record:
        from benchmarks.speed.metrics import shares  # not at the top, as above: it needs packages

        alone, together = shares(record["extraction"]["times"])
        each = ", ".join(f"{peer} {share['wall']:.2f}" for peer, share in alone.items())
        lines += ["* one pass for FID, KID, Inception Score, precision and recall, as a share of each peer's own time:"]
        lines += [f"  {each}; of the three in turn {together['wall']:.2f}."]
        lines += ["  clean-fid passes the images for FID and again for KID, torchmetrics for each of three metrics"]
    return [*lines, "", f"`{record['command'].strip()}` on {_machine(record)}", ""]


def _gpu(records: Path) -> list[str]:
    """Ceilings, each step in its settings, and whether the numbers are the CPU's."""
    lines = ["## On a GPU", ""]
    parts = [*_ceilings(records), *_gpu_steps(records), *_trust(records), *_features(records)]
    if not parts:
        return [*lines, "Not measured yet: `make gpu` (`benchmarks/speed/gpu/`) does it within eight minutes.", ""]
    return [*lines, *parts]


def _ceilings(records: Path) -> list[str]:
    record = _read(records / "ceilings-cuda.json")
    if record is None:
        return []
    names = ("bf16 TFLOP/s", "fp32 TFLOP/s", "copy GB/s", "launch us")
    figures = ", ".join(f"{name} {record[name]:.3g}" for name in names if name in record)
    return [f"The machine's ceilings: {figures} ({record['device']}, {record['date']}, `{record['command']}`).", ""]


def _gpu_steps(records: Path) -> list[str]:
    """Every step in every setting that was measured."""
    rows = []
    for case, (_, title) in CASES.items():
        for path in sorted(records.glob(f"{case}*-cuda.json")):
            record = json.loads(path.read_text())
            if "ours" in record["seconds"].get("wall", {}) or record.get("peak bytes"):
                rows.append(f"| {title} | {record.get('variant') or 'its own'} | {_settings_row(record)} |")
    if not rows:
        return []
    head = ["Busy: the share of a round in which a kernel ran, from a round of its own under torch's profiler.", ""]
    head += ["| step | setting | batch | seconds | images a second | TFLOP/s | issued by the host in | busy | peak |"]
    return [*head, "|---|---|---|---|---|---|---|---|---|", *rows, ""]


def _settings_row(record: dict[str, Any]) -> str:
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
            failed = [test for test, outcome in record["tests"].items() if outcome["outcome"] == "failed"]
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


# Names in the project of the records that are no training step, by the step's name in the plan.
FILED_AS = {
    "env": "ceilings-cuda",
    "tests": "tests-cuda",
    "tests-compiled": "tests-compiled-cuda",
    "mini": "mini-cuda",
    "features": "features-cuda",
    "sampling": "generation-cuda",
    "steps": "gpu-steps",
}


def take(out: Path, records: Path = RECORDS, file: Path = PAGE) -> list[Path]:
    """Files the records of `make gpu` that lie in `out` and writes the page; returns the files written, in order."""
    steps = _read(out / "steps.json")
    if steps is None:
        raise Fault(f"{out / 'steps.json'} does not exist: OUT is the folder in which `make gpu` left its records")
    if steps["tiny"]:
        raise Fault(f"{out} holds a rehearsal of small networks on a CPU: its numbers say nothing and are not filed")
    written = []
    for name, record in filed(out).items():
        atomic.write_json(records / f"{name}.json", record)
        written.append(records / f"{name}.json")
    atomic.write_text(file, page(records))
    return [*written, file]


def filed(out: Path) -> dict[str, dict[str, Any]]:
    """The records of `out` by their names in the project."""
    records, straightforward = {}, []
    for path in sorted(out.glob("*.json")):
        record = _read(path)
        if record is None or "skipped" in record:
            continue
        if path.stem in FILED_AS:
            records[FILED_AS[path.stem]] = record
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
    """One record of both sides of a step, which were measured one after the other.

    Sides of two machines, or of two sizes, have no ratio: then ours alone is returned.
    """
    if any(ours[name] != other[name] for name in ("device", "batch", "versions")):
        return ours
    record = {**ours, "straightforward command": other["command"]}
    for name in ("all seconds", "images per second", "peak bytes"):
        record[name] = {**other.get(name, {}), **ours.get(name, {})}
    record["seconds"] = {clock: {**other["seconds"][clock], **ours["seconds"][clock]} for clock in ours["seconds"]}
    return record | ratios(record["all seconds"])


def main() -> int:
    atomic.write_text(PAGE, page())
    print(PAGE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

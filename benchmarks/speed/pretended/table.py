"""The counted steps as a table, with the estimate of `sidbench plan` beside each peak. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.estimate import networks
from benchmarks.suite.components import methods
from benchmarks.suite.config import Budget, EngineOptions

RECORD = Path(__file__).parents[1] / "records" / "pretended.json"


@dataclass(frozen=True)
class StepRow:
    """A step of a size, with what differs from the case's own settings."""

    title: str
    case: str
    batch: int | None = None
    micro: int | None = None
    pixels: int | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)


PLAIN = {"checkpointing": False, "split_backward": False}
ROWS = {
    "ddpmpp": StepRow("SiD, DDPM++, 32 px", "sid-ddpmpp-32"),
    "ddpmpp-micro": StepRow("the same in micro-batches of 128", "sid-ddpmpp-32", micro=128),
    "sd15": StepRow("SiD-LSG, SD 1.5, 512 px", "sid-lsg-sd15"),
    "sdxl": StepRow("few-step SiD, SDXL, 1024 px", "sid-few-step-sdxl"),
    "sdxl-plain": StepRow("the same without checkpointing", "sid-few-step-sdxl", engine=PLAIN),
    "sdxl-512": StepRow("the same at 512 px", "sid-few-step-sdxl", pixels=512),
    "sdxl-offload": StepRow("the same, moments in the CPU's memory", "sid-few-step-sdxl", engine={"offload": True}),
    "dmd2": StepRow("DMD2 with GAN, SDXL, 1024 px", "dmd2-sdxl"),
    "dmd2-eight-bit": StepRow("the same with moments in a byte", "dmd2-sdxl", engine={"eight_bit": True}),
    "dmd2-offload": StepRow("the same, moments in the CPU's memory", "dmd2-sdxl", engine={"offload": True}),
    "pixart": StepRow("SIM, PixArt, 512 px", "sim-pixart"),
}
# The counted network of each case, its method and the method's options.
SIZED: dict[str, tuple[str, str, int | None, str, dict[str, Any]]] = {
    "sid-ddpmpp-32": ("edm", "edm-cifar10-32x32-uncond-vp", None, "sid", {}),
    "sid-lsg-sd15": ("stable-diffusion", "stable-diffusion-v1-5/stable-diffusion-v1-5", 512, "sid-lsg", {"kappa": 1.5}),
    "sid-few-step-sdxl": ("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", 1024, "sid-few-step", {"steps": 4}),
    "dmd2-sdxl": (
        "sdxl",
        "stabilityai/stable-diffusion-xl-base-1.0",
        1024,
        "dmd2",
        {"steps": 4, "t_init": 999.0, "kappa": 8.0, "ratio": 1},
    ),
    "sim-pixart": ("pixart", "PixArt-alpha/PixArt-XL-2-512x512", 512, "sim", {}),
}
HEADER = (
    "| step | batch | TFLOP | in bf16 | launches | traffic | peak | estimated |",
    "|---|---|---|---|---|---|---|---|",
)


def line(name: str, counts: Mapping[str, Any]) -> str:
    """A row of the table."""
    flops, half = sum(counts["flops"].values()), counts["flops"].get("bfloat16", 0)
    batch = counts["batch"] if counts["micro batch"] is None else f"{counts['batch']} by {counts['micro batch']}"
    cells = (
        ROWS[name].title,
        batch,
        f"{flops / 1e12:.0f}",
        f"{100 * half / flops:.0f} %",
        f"{counts['launches']:,}",
        f"{counts['traffic'] / 1e12:.2f} TB",
        f"{counts['peak'] / 2**30:.1f} GiB",
        f"{estimated(name, counts) / 2**30:.1f} GiB",
    )
    return f"| {' | '.join(map(str, cells))} |"


def estimated(name: str, counts: Mapping[str, Any]) -> float:
    """Bytes that `sidbench plan` expects at the most, with the settings of a counted row."""
    family, source, side, method, given = SIZED[ROWS[name].case]
    network = networks.find(family, source, ROWS[name].pixels or side)
    assert network is not None
    budget = Budget(batch=counts["batch"], micro_batch=counts["micro batch"], engine=EngineOptions(**counts["engine"]))
    chosen = methods()[method]
    return networks.memory_of(chosen, chosen.options("", "", given), network, budget, 1).peak


COMPARED = (
    "| step | launches | before | traffic | before | peak | before |",
    "|---|---|---|---|---|---|---|",
)


def compared(record: Path, before: Path) -> Iterator[str]:
    """The rows that both records have, side by side."""
    now, then = (json.loads(path.read_text())["rows"] for path in (record, before))
    yield from COMPARED
    for name in (name for name in now if name in then):
        sides = (now[name], then[name])
        cells = [f"{side['launches']:,}" for side in sides]
        cells += [f"{side['traffic'] / 1e12:.2f} TB" for side in sides]
        cells += [f"{side['peak'] / 2**30:.1f} GiB" for side in sides]
        yield f"| {ROWS[name].title} | {' | '.join(cells)} |"


def table(record: Path = RECORD) -> Iterator[str]:
    """The record's rows as a table."""
    yield from HEADER
    for name, counts in json.loads(record.read_text())["rows"].items():
        yield line(name, counts)

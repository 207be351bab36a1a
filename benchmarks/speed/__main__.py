"""Runs every benchmark that this machine can run, then writes the page: `make bench`.

A GPU's come first: its time is expensive. Each record is written after every round. `make gpu` measures more of a GPU,
within a time budget and without a package index.
"""

from __future__ import annotations

import shlex
import subprocess
import sys

CPU = (
    "metrics",
    "steps sid-ddpmpp-32 --device cpu --batch 8 --rounds 5 --bare --engine channels_last=true",
    "generation --device cpu",
    "workflow --share mini",
)
GPU = (
    "steps sid-ddpmpp-32",
    "steps sid-lsg-sd15",
    "steps sid-few-step-sdxl",
    "steps dmd2-sdxl",
    "generation --images 4096 --batch 512",
)


def main() -> int:
    import torch

    if not torch.cuda.is_available():
        print("no GPU: benchmarks that need one are skipped, their records stay", flush=True)
    failed = []
    for line in [*(GPU if torch.cuda.is_available() else ()), *CPU]:
        print(f"== python -m benchmarks.speed.{line}", flush=True)
        name, *words = shlex.split(line)
        if subprocess.run([sys.executable, "-m", f"benchmarks.speed.{name}", *words]).returncode:
            failed.append(line)
    for line in failed:
        print(f"failed, its record stays: python -m benchmarks.speed.{line}", flush=True)
    return subprocess.run([sys.executable, "-m", "benchmarks.speed.page"]).returncode or bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())

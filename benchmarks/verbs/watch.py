"""Verb `watch`: follows a training by its log."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sid.fault import Fault, parsed

HELP = "follow a training: its rate and its health figures, a line an interval"
EXAMPLE = "sidbench watch results/mini/state/digits-cond/sid-1.2/0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="a folder with a log.jsonl in it or below it")
    parser.add_argument("--once", action="store_true", help="print the lines so far and exit")


def run(args: argparse.Namespace) -> int:
    logs = sorted(args.folder.rglob("log.jsonl"), key=lambda path: path.stat().st_mtime)
    if not logs:
        raise Fault(f"{args.folder} holds no log.jsonl: no training has begun there")
    path, total = logs[-1], _total(logs[-1].parent)
    print(f"{path}, {total:,} images in all" if total else str(path))
    read = 0
    while True:
        lines = path.read_text().splitlines(keepends=True)
        whole = [line for line in lines[read:] if line.endswith("\n")]
        read += len(whole)
        images = 0
        for line in whole:
            try:
                row = parsed(line)
                print(_line(row, total), flush=True)
                images = row["images"]
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Fault(f"{path} is damaged: '{line[:60].strip()}' is no line of a training's log") from None
        if args.once or 0 < total <= images:
            return 0
        time.sleep(1)


def _total(folder: Path) -> int:
    """The images of the whole training, from the recipe beside the log; 0 if unknown."""
    try:
        return int(parsed((folder / "recipe.json").read_text())["recipe"]["images"])
    except (OSError, ValueError, KeyError):
        return 0


def _line(row: dict, total: int) -> str:
    rate = row["images"] / max(row["seconds"], 1e-9)
    left = f", {(total - row['images']) / rate:.0f} s left" if total else ""
    figures = [
        f"{player} {name} {value:.4g}"
        for player, health in row["players"].items()
        for name, value in health.items()
        if not name.startswith("noise-bin")
    ]
    return f"{row['images']:>10,} images  {rate:,.0f}/s{left}  " + "  ".join(figures)

"""The log of a run: health figures as JSONL, mirrored to TensorBoard or W&B, and progress on the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sid import atomic
from sid.discovery import UnknownName
from sid.fault import Fault, parsed


class Log:
    """log.jsonl, a line per interval. A resumed run drops the lines that a killed one wrote after its state."""

    def __init__(self, path: Path, images: int):
        self.folder = path.parent
        lines = []
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    before = parsed(line)["images"] <= images
                except (ValueError, TypeError, KeyError):
                    continue  # a line that a kill cut short
                if before:
                    lines.append(line + "\n")
        with atomic.writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines))
            self.file = open(path, "a")  # noqa: SIM115 - open as long as the run
        self.mirror = mirror(self.folder)

    def write(self, row: dict[str, Any]) -> None:
        with atomic.writable(self.folder):
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()
        if self.mirror is not None:
            self.mirror(row["images"], figures(row))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk was reported when the line was written
            self.file.close()


class Meter:
    """Progress: a bar on a terminal, else a line every ten seconds."""

    def __init__(self, what: str, total: int, done: int, quiet: bool = False):
        self.what, self.total, self.first, self.started = what, total, done, time.monotonic()
        self.last = self.started
        self.quiet = quiet
        self.bar = (
            tqdm(total=total, initial=done, desc=what, unit="img", unit_scale=True)
            if sys.stderr.isatty() and not quiet
            else None
        )

    def update(self, done: int) -> None:
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.update(done - self.bar.n)
            return
        now = time.monotonic()
        if now - self.last >= 10:
            self.last = now
            rate = (done - self.first) / (now - self.started)
            left = (self.total - done) / max(rate, 1e-9)
            print(f"{self.what}: {done}/{self.total} images, {rate:.0f} images/s, {left:.0f} s left", file=sys.stderr)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


MIRROR_ENV = "SIDBENCH_LOG"  # tensorboard | wandb
Figures = dict[str, float]
Mirror = Callable[[int, Figures], None]  # (images, figures by name)


def mirror(folder: Path) -> Mirror | None:
    """The mirror that MIRROR_ENV names, or None; a Fault for an unknown name or a missing package."""
    chosen = os.environ.get(MIRROR_ENV, "")
    if not chosen:
        return None
    if chosen not in MIRRORS:
        raise UnknownName(MIRROR_ENV, chosen, MIRRORS)
    try:
        return MIRRORS[chosen](folder)
    except ImportError as error:
        raise Fault(f"{MIRROR_ENV}={chosen} needs the package '{error.name or chosen}': pip install {chosen}") from None


def figures(row: Mapping[str, Any]) -> Figures:
    """A log row's numbers under flat names such as "critic/update-norm"."""
    return dict(_flat(row.get("players", {}), ""))


def _flat(part: Mapping[str, Any], before: str) -> Iterator[tuple[str, float]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}/")
        elif isinstance(value, int | float):
            yield f"{before}{name}", float(value)


def _tensorboard(folder: Path) -> Mirror:
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = SummaryWriter(str(folder / "tensorboard"))

    def write(images: int, values: Figures) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, images)
        writer.flush()

    return write


def _wandb(folder: Path) -> Mirror:
    import wandb

    # One run per state folder: a resumed training goes on in the same one.
    name = "-".join(folder.resolve().parts[-4:])
    run: Any = wandb.init(project="sidbench", id=name, name=name, resume="allow", dir=str(folder))

    def write(images: int, values: Figures) -> None:
        run.log({"images": images, **values}, step=images)

    return write


MIRRORS: dict[str, Callable[[Path], Mirror]] = {"tensorboard": _tensorboard, "wandb": _wandb}

"""The training log a second time, for those who watch with TensorBoard or Weights & Biases; asked for by SIDBENCH_LOG.

SIDBENCH_LOG=tensorboard writes event files beside log.jsonl; SIDBENCH_LOG=wandb logs to the project `sidbench`, with
whatever account and mode (WANDB_MODE=offline needs none) the user's own set-up has. Without it nothing is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sid.discovery import UnknownName
from sid.fault import Fault

VARIABLE = "SIDBENCH_LOG"
Figures = dict[str, float]
Mirror = Callable[[int, Figures], None]  # (images, figures by name)


def mirror(folder: Path) -> Mirror | None:
    """Where rows also go, or None; a Fault for an unknown word or a package that is not there."""
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return None
    if asked not in MIRRORS:
        raise UnknownName(f"{VARIABLE}", asked, MIRRORS)
    try:
        return MIRRORS[asked](folder)
    except ImportError as error:
        raise Fault(f"{VARIABLE}={asked} needs the package '{error.name or asked}': pip install {asked}") from None


def figures(row: Mapping[str, Any]) -> Figures:
    """A log row's numbers under flat names: "critic/update-norm"."""
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

    def write(images: int, told: Figures) -> None:
        for name, value in told.items():
            writer.add_scalar(name, value, images)
        writer.flush()

    return write


def _wandb(folder: Path) -> Mirror:
    import wandb

    # One run per state folder: a resumed training goes on in the same one.
    name = "-".join(folder.resolve().parts[-4:])
    run: Any = wandb.init(project="sidbench", id=name, name=name, resume="allow", dir=str(folder))

    def write(images: int, told: Figures) -> None:
        run.log({"images": images, **told}, step=images)

    return write


MIRRORS: dict[str, Callable[[Path], Mirror]] = {"tensorboard": _tensorboard, "wandb": _wandb}

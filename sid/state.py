"""Everything a resume needs, listed; saved atomically with checksums, the last two kept.

Tensors go through torch.distributed.checkpoint, which reshards them for another number of processes; the rest is
JSON. Draws need no state: they are a function of (seed, iteration, stream, sample).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from sid import atomic
from sid.engine import Engine
from sid.fault import Fault
from sid.log import report

KEPT = 2


@dataclass
class Counters:
    """The part of the state that is not a tensor."""

    iteration: int = 0
    images: int = 0
    seconds: float = 0.0  # of training, over all resumed parts
    passes: float = 0.0  # network passes, in samples
    steps: dict[str, int] = field(default_factory=dict)  # updates of each player
    curve: list[dict[str, float]] = field(default_factory=list)
    peak_memory: int = 0


class TrainState:
    """The networks, optimisers and counters of a run, and the folder where they are kept."""

    def __init__(
        self,
        folder: Path,
        recipe: dict[str, Any],
        nets: nn.ModuleDict,
        optimisers: Sequence[torch.optim.Optimizer],
        engine: Engine,
    ):
        self.folder, self.recipe, self.nets, self.engine = folder, recipe, nets, engine
        self.optimisers = list(optimisers)
        self.counters = Counters()

    def check_recipe(self) -> None:
        """A changed recipe refuses to continue an old state, and says what changed."""
        path, told = self.folder / "recipe.json", json.loads(json.dumps(self.recipe))
        if not path.exists():
            if self.engine.rank == 0:
                atomic.write_json(path, told)
            return
        old = json.loads(path.read_text())
        if old != told:
            changed = sorted(name for name in {*old, *told} if old.get(name) != told.get(name))
            raise Fault(
                f"the state in {self.folder} belongs to another recipe (changed: {', '.join(changed)}); "
                "choose another folder or remove that one"
            )

    def _tensors(self) -> dict[str, Any]:
        for parameter in self.nets.parameters():
            parameter.requires_grad_(True)  # the optimiser's state is listed by parameters that ask for gradients
        options = StateDictOptions(flatten_optimizer_state_dict=True)
        flat = {
            name: value
            for name, value in get_optimizer_state_dict(self.nets, self.optimisers, options=options).items()
            if isinstance(value, torch.Tensor)
        }
        return {"nets": dict(self.nets.state_dict()), "optimisers": flat}

    def save(self) -> None:
        """The state, whole or not at all; older ones but the last go."""
        final = self.folder / f"state-{self.counters.iteration:09d}"
        if final.exists():
            return
        beside = self.folder / f".{final.name}.tmp"
        if self.engine.rank == 0:
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(parents=True)
        self.engine.wait()
        with _alone_is_fine():
            dcp.save(self._tensors(), checkpoint_id=beside / "tensors", no_dist=self.engine.world == 1)
        self.engine.wait()
        if self.engine.rank == 0:
            (beside / "counters.json").write_text(json.dumps(asdict(self.counters)))
            atomic.seal(beside, final, _checksums(beside))
            for old in sorted(self.folder.glob("state-*"))[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        self.engine.wait()

    def restore(self) -> bool:
        """The newest whole state; a damaged one is named loudly and the one before is taken."""
        for path in sorted(self.folder.glob("state-*"), reverse=True):
            fault = _damage(path)
            if fault is None:
                self._load(path)
                return True
            report(f"{path} is damaged ({fault}); falling back to the state before it")
        return False

    def _load(self, path: Path) -> None:
        tensors = self._tensors()
        with _alone_is_fine():
            dcp.load(tensors, checkpoint_id=path / "tensors", no_dist=self.engine.world == 1)
        self.nets.load_state_dict(tensors["nets"])
        options = StateDictOptions(flatten_optimizer_state_dict=True)
        rest = get_optimizer_state_dict(self.nets, self.optimisers, options=options)
        set_optimizer_state_dict(self.nets, self.optimisers, {**rest, **tensors["optimisers"]}, options=options)
        self.counters = Counters(**json.loads((path / "counters.json").read_text()))


@contextlib.contextmanager
def _alone_is_fine() -> Iterator[None]:
    """Without torch's warning that there is one process: that is what a laptop has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "checksums.json")
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _damage(path: Path) -> str | None:
    """What is wrong with a saved state, or None."""
    try:
        told = json.loads((path / "checksums.json").read_text())
    except (OSError, ValueError):
        return "its checksums can't be read"
    found = _checksums(path)
    wrong = sorted(name for name in {*told, *found} if told.get(name) != found.get(name))
    return f"{', '.join(wrong)} differ{'s' if len(wrong) == 1 else ''} from what was written" if wrong else None

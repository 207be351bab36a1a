"""Everything a resume needs, listed; saved atomically with checksums, the last two kept.

Tensors go through torch.distributed.checkpoint, which reshards them for another number of processes or another
strategy; the rest is JSON. Draws need no state: they are a function of (seed, iteration, stream, sample). A large state
is copied to the CPU and written by a thread while training goes on; it appears only once it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from sid import atomic
from sid.fault import Fault, report
from sid.loop.adam import Adam
from sid.parallel.engine import Engine
from sid.parallel.sharding import local

KEPT = 2
AT_ONCE = 2**26  # bytes of this process's share up to which a state is written at once: a thread would gain nothing


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
        optimisers: Sequence[Adam],
        engine: Engine,
    ):
        self.folder, self.recipe, self.nets, self.engine = folder, recipe, nets, engine
        self.optimisers = list(optimisers)
        self.counters = Counters()
        self._writer: threading.Thread | None = None
        self._fault: BaseException | None = None

    def check_recipe(self) -> None:
        """A changed recipe refuses to continue an old state, and says what changed."""
        self.engine.together(self._check_recipe)

    def _check_recipe(self) -> None:
        path, told = self.folder / "recipe.json", json.loads(json.dumps(self.recipe))
        if not path.exists():
            with atomic.writable(self.folder):
                atomic.write_json(path, told)
            return
        old = json.loads(path.read_text())
        if old != told:
            changed = sorted(name for name in {*old, *told} if old.get(name) != told.get(name))
            raise Fault(
                f"the state in {self.folder} belongs to another recipe (changed: {', '.join(changed)}); "
                "choose another folder or remove that one"
            )

    def _slots(self) -> Iterator[tuple[str, Adam, nn.Parameter]]:
        """Every (name, optimiser, parameter) whose state is kept; a second optimiser of a parameter is numbered."""
        names = {parameter: name for name, parameter in self.nets.named_parameters()}
        seen: set[str] = set()
        for number, optimiser in enumerate(self.optimisers):
            for parameter in optimiser.parameters:
                name = names[parameter]
                yield (f"{name}#{number}" if name in seen else name), optimiser, parameter
                seen.add(name)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """What there is: a player that has not yet played has no optimiser state, and gets none by being saved."""
        optimisers = {
            f"state.{name}.{key}": value
            for name, optimiser, parameter in self._slots()
            for key, value in optimiser.state(parameter).items()
        }
        return {"nets": dict(self.nets.state_dict()), "optimisers": optimisers}

    @property
    def busy(self) -> bool:
        """Whether the last state is still being written."""
        return self._writer is not None and self._writer.is_alive()

    def save(self) -> None:
        """The state, whole or not at all; older ones but the last go. A large one is written meanwhile."""
        self.finish()
        final = self.folder / f"state-{self.counters.iteration:09d}"
        if final.exists():
            return
        counters = json.dumps(asdict(self.counters))
        tensors = self._tensors()
        if _bytes(tensors) <= AT_ONCE:
            self._write(tensors, counters, final)
            self.finish()
            return
        snapshot = DefaultStager(StagingOptions(False, False, False, False)).stage(tensors)
        self._writer = threading.Thread(target=self._write, args=(snapshot, counters, final), name="state")
        self._writer.start()

    def join(self) -> None:
        """Waits for the state that is being written."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def finish(self) -> None:
        """Waits for the state that is being written, and tells what went wrong with it."""
        self.join()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _write(self, tensors: Any, counters: str, final: Path) -> None:
        beside = self.folder / f".{final.name}.tmp"

        def begin() -> None:
            with atomic.writable(self.folder):
                shutil.rmtree(beside, ignore_errors=True)
                beside.mkdir(parents=True)

        def seal() -> None:
            with atomic.writable(self.folder):
                (beside / "counters.json").write_text(counters)
                atomic.seal(beside, final, _checksums(beside))
                for old in sorted(self.folder.glob("state-*"))[:-KEPT]:
                    shutil.rmtree(old, ignore_errors=True)

        try:
            self.engine.together(begin)
            with _alone_is_fine(), _written(self.folder):
                dcp.save(tensors, checkpoint_id=beside / "tensors", **self._through())
            self.engine.together(seal)
        except BaseException as error:  # a thread has nobody to tell: `finish` does
            self._fault = error
            if self.engine.first:
                shutil.rmtree(beside, ignore_errors=True)

    def _through(self) -> dict[str, Any]:
        """How the processes of a checkpoint talk."""
        return {"process_group": self.engine.saving, "no_dist": self.engine.world == 1}

    def restore(self) -> bool:
        """The newest whole state; a damaged one is named loudly and the one before is taken."""
        path = self.engine.together(self._newest)
        if path is not None:
            self._load(path)
        return path is not None

    def _newest(self) -> Path | None:
        paths = sorted(self.folder.glob("state-*"), reverse=True)
        for path, before in zip(paths, [*paths[1:], None], strict=False):
            fault = _damage(path)
            if fault is None:
                return path
            then = "falling back to the state before it" if before else "no state is left, training begins anew"
            report(f"{path} is damaged ({fault}); {then}")
        return None

    def _load(self, path: Path) -> None:
        """Into the networks and optimisers as they are cut here, however they were cut when they were saved."""
        nets, through = dict(self.nets.state_dict()), self._through()
        known = dcp.FileSystemReader(path / "tensors").read_metadata().state_dict_metadata
        kept: list[tuple[Adam, nn.Parameter, dict[str, Tensor]]] = []
        told: dict[str, Tensor] = {}
        for name, optimiser, parameter in self._slots():
            start = f"optimisers.state.{name}."
            found = {
                key: torch.zeros((), device=parameter.device) if key == "step" else torch.zeros_like(parameter)
                for key in (stored.removeprefix(start) for stored in known if stored.startswith(start))
            }
            told |= {f"state.{name}.{key}": value for key, value in found.items()}
            kept.append((optimiser, parameter, found))
        with _alone_is_fine():
            dcp.load({"nets": nets, "optimisers": told}, checkpoint_id=path / "tensors", **through)
        self.nets.load_state_dict(nets)
        for optimiser, parameter, found in kept:
            if found:
                optimiser.restore(parameter, found)
        self.counters = Counters(**json.loads((path / "counters.json").read_text()))


def _bytes(tensors: dict[str, dict[str, Tensor]]) -> int:
    return sum(local(value).nbytes for part in tensors.values() for value in part.values())


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """What a checkpoint's processes could not write, as one sentence; torch wraps it, by process."""
    try:
        with atomic.writable(folder):
            yield
    except CheckpointException as error:
        causes = [failure[0] for failure in error.failures.values()]
        raise atomic.unwritable(folder, next(iter(causes), error)) from None


@contextlib.contextmanager
def _alone_is_fine() -> Iterator[None]:
    """Without torch's warning that there is one process: that is what a laptop has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "checksums.json")
    return {str(file.relative_to(folder)): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    """Read piece by piece: a state is larger than the memory beside it."""
    with open(file, "rb") as held:
        return hashlib.file_digest(held, "sha256").hexdigest()


def _damage(path: Path) -> str | None:
    """What is wrong with a saved state, or None."""
    try:
        told = json.loads((path / "checksums.json").read_text())
    except (OSError, ValueError):
        return "its checksums can't be read"
    found = _checksums(path)
    wrong = sorted(name for name in {*told, *found} if told.get(name) != found.get(name))
    return f"{', '.join(wrong)} differ{'s' if len(wrong) == 1 else ''} from what was written" if wrong else None

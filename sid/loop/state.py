"""The training state, saved atomically with checksums; the last two are kept.

Tensors go through torch.distributed.checkpoint, which reshards them for another number of processes or another
strategy; the rest is JSON (`sid.loop.checkpoint`), and nothing in a state is executed. Draws need no state: they are a
function of (seed, iteration, stream, sample). A large state is copied to the CPU and written by a thread while training
goes on; its folder appears only when it is whole.
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
from sid.loop.changes import changes
from sid.loop.checkpoint import JsonReader, JsonWriter, read_metadata
from sid.parallel.engine import Engine
from sid.parallel.sharding import local

STATES = 2  # that stay on the disk
BUDGET_KEY = "recipe.images"  # the recipe's field of the images to train for
SYNCHRONOUS_BYTES = 2**26  # bytes of this process's share up to which a state is written without a thread


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
    """The networks, optimisers and counters of a run, saved to and restored from a folder.

    Args:
        folder: Holds the states, and recipe.json.
        recipe: What decides the result; a state of another recipe is refused.
        nets: The networks to save.
        optimisers: In the players' order.
        engine: The processes that save together.
        extendable: No setting depends on the progress through the budget, so a state of a smaller budget is also one
            of a larger budget.
    """

    def __init__(
        self,
        folder: Path,
        recipe: dict[str, Any],
        nets: nn.ModuleDict,
        optimisers: Sequence[Adam],
        engine: Engine,
        extendable: bool = False,
    ):
        self.folder, self.recipe, self.nets, self.engine = folder, recipe, nets, engine
        self.extendable = extendable
        self.optimisers = list(optimisers)
        self.counters = Counters()
        self._writer: threading.Thread | None = None
        self._fault: BaseException | None = None
        self._damaged: set[Path] = set()  # states that were found so, to be replaced

    def check_recipe(self) -> None:
        """A Fault where the folder's state belongs to another recipe; it names what changed."""
        self.engine.together(self._check_recipe)

    def _check_recipe(self) -> None:
        path, recipe = self.folder / "recipe.json", json.loads(json.dumps(self.recipe))
        if not path.exists():
            with atomic.writable(self.folder):
                atomic.write_json(path, recipe)
            return
        try:
            before = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            before = None
        if not isinstance(before, dict):
            raise Fault(
                f"{path} is damaged: nothing says what the state beside it was trained for; remove {self.folder}"
            )
        changed = list(changes(before, recipe))
        if self.extendable and len(changed) == 1 and changed[0].grows(BUDGET_KEY):
            with atomic.writable(self.folder):
                atomic.write_json(path, recipe)
        elif changed:
            raise Fault(
                f"the state in {self.folder} belongs to another recipe (changed: {', '.join(map(str, changed))}); "
                "choose another folder or remove that one"
            )

    def _slots(self) -> Iterator[tuple[str, Adam, nn.Parameter]]:
        """Every (name, optimiser, parameter) of the state; the name for a parameter's second optimiser is numbered."""
        names = {parameter: name for name, parameter in self.nets.named_parameters()}
        seen: set[str] = set()
        for number, optimiser in enumerate(self.optimisers):
            for parameter in optimiser.parameters:
                name = names[parameter]
                yield (f"{name}#{number}" if name in seen else name), optimiser, parameter
                seen.add(name)

    def _tensors(self) -> dict[str, dict[str, Tensor]]:
        """All tensors. A player that has not yet played has no optimiser state, and saving makes none."""
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
        """Saves the state atomically and removes old ones. A large one is written by a thread."""
        self.finish()
        final = self.folder / f"state-{self.counters.iteration:09d}"
        if final.exists() and final not in self._damaged:
            return
        counters = json.dumps(asdict(self.counters))
        tensors = self._tensors()
        if _bytes(tensors) <= SYNCHRONOUS_BYTES:
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
        """Waits for the state that is being written, and raises what failed in writing it."""
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
                if final in self._damaged:
                    shutil.rmtree(final, ignore_errors=True)
                atomic.seal(beside, final, _checksums(beside))
                for old in sorted(self.folder.glob("state-*"))[:-STATES]:
                    shutil.rmtree(old, ignore_errors=True)

        try:
            self.engine.together(begin)
            with _one_process_is_fine(), _written(self.folder):
                dcp.save(tensors, storage_writer=JsonWriter(beside / "tensors"), **self._group())
            self.engine.together(seal)
        except BaseException as error:  # raised by `finish`, since a thread can't
            self._fault = error
            if self.engine.first:
                shutil.rmtree(beside, ignore_errors=True)

    def _group(self) -> dict[str, Any]:
        """The process group of a checkpoint."""
        return {"process_group": self.engine.saving, "no_dist": self.engine.world == 1}

    def restore(self) -> bool:
        """Loads the newest whole state, reporting damaged ones; False where there is none."""
        path, self._damaged = self.engine.together(self._newest)
        if path is not None:
            self._load(path)
        return path is not None

    def _newest(self) -> tuple[Path | None, set[Path]]:
        """The newest whole state, and the damaged ones after it, which are replaced when training is there again."""
        damaged: set[Path] = set()
        paths = sorted(self.folder.glob("state-*"), reverse=True)
        for path, before in zip(paths, [*paths[1:], None], strict=False):
            fault = _damage(path)
            if fault is None:
                return path, damaged
            damaged.add(path)
            then = "falling back to the state before it" if before else "no state is left, training begins anew"
            report(f"{path} is damaged ({fault}); {then}")
        return None, damaged

    def _load(self, path: Path) -> None:
        """Loads into the networks and optimisers, which may be sharded otherwise than when they were saved."""
        nets, group = dict(self.nets.state_dict()), self._group()
        names = read_metadata(path / "tensors").state_dict_metadata
        states: list[tuple[Adam, nn.Parameter, dict[str, Tensor]]] = []
        optimisers: dict[str, Tensor] = {}
        for name, optimiser, parameter in self._slots():
            start = f"optimisers.state.{name}."
            keys = [stored.removeprefix(start) for stored in names if stored.startswith(start)]
            state = optimiser.empty(parameter, keys)
            optimisers |= {f"state.{name}.{key}": value for key, value in state.items()}
            states.append((optimiser, parameter, state))
        with _one_process_is_fine(), _readable(path):
            dcp.load({"nets": nets, "optimisers": optimisers}, storage_reader=JsonReader(path / "tensors"), **group)
        self.nets.load_state_dict(nets)
        for optimiser, parameter, state in states:
            if state:
                optimiser.restore(parameter, state)
        self.counters = _counters(path)


def _bytes(tensors: dict[str, dict[str, Tensor]]) -> int:
    return sum(local(value).nbytes for part in tensors.values() for value in part.values())


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Turns a checkpoint's write error, which torch wraps by process, into a Fault."""
    try:
        with atomic.writable(folder):
            yield
    except CheckpointException as error:
        causes = [failure[0] for failure in error.failures.values()]
        raise atomic.unwritable(folder, next(iter(causes), error)) from None


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever torch raises for tensors that are not those of the networks into a Fault."""
    try:
        yield
    except (CheckpointException, RuntimeError, ValueError, KeyError, AssertionError, OSError, EOFError) as error:
        failures = [failure[0] for failure in getattr(error, "failures", {}).values()]
        if any(isinstance(failure, MemoryError | torch.OutOfMemoryError) for failure in (error, *failures)):
            raise
        raise Fault(
            f"{path} holds other tensors than the run's ({type(next(iter(failures), error)).__name__}); "
            "remove that folder, and the training goes on from the state before it"
        ) from error


def _counters(path: Path) -> Counters:
    """The counters of a saved state; a Fault if they are none."""
    try:
        counters = Counters(**json.loads((path / "counters.json").read_text()))
    except (OSError, ValueError, TypeError, RecursionError):
        raise Fault("counters.json holds no counters") from None
    if type(counters.iteration) is not int or type(counters.images) is not int or not isinstance(counters.curve, list):
        raise Fault("counters.json holds no counters")
    return counters


@contextlib.contextmanager
def _one_process_is_fine() -> Iterator[None]:
    """Silences torch's warning that there is only one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "checksums.json")
    return {str(file.relative_to(folder)): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    """Of a file read piece by piece: a state may exceed the free memory."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damage(path: Path) -> str | None:
    """What is wrong with a saved state, or None."""
    try:
        expected = json.loads((path / "checksums.json").read_text())
    except (OSError, ValueError, RecursionError):
        return "its checksums can't be read"
    actual = _checksums(path)
    if not isinstance(expected, dict):
        return "its checksums can't be read"
    wrong = sorted(name for name in {*expected, *actual} if expected.get(name) != actual.get(name))
    if wrong:
        return f"{', '.join(wrong)} differ{'s' if len(wrong) == 1 else ''} from what was written"
    try:
        _counters(path)
        read_metadata(path / "tensors")
    except Fault as fault:
        return str(fault)
    return None

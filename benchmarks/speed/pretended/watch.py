"""Every operator that runs on the pretended device: FLOPs, launches, traffic, bytes in use, and what no step should do.

It counts operators, not kernels: a foreach operator counts once, though it may launch a few kernels, and what a kernel
reads and writes beside its arguments (workspaces of convolutions, the allocator's fragments) is not seen.
"""

from __future__ import annotations

import traceback
import weakref
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

ROUNDED = 512  # bytes: CUDA's caching allocator rounds up to multiples of them
SMALL = 1024  # numbers of float64 that a device may compute with: noise levels of a batch
PINNED = "pretended_pinned"  # marks a tensor that `Tensor.pin_memory` returned
OWN_FOLDERS = ("/sid/", "/baselines/", "/benchmarks/")
# Operators that start nothing on a device; views, whose schema says so, don't either.
IDLE = ("device", "_unsafe_view", "is_pinned", "empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided")
COPIES = ("_to_copy", "copy_", "to")


@dataclass
class Counts:
    """What one iteration did."""

    flops: Counter[str] = field(default_factory=Counter)  # by the dtype of the factors
    launches: int = 0
    operators: Counter[str] = field(default_factory=Counter)  # launches by operator
    traffic: int = 0  # bytes that the operators' arguments and results hold
    peak: int = 0  # most bytes in use at once
    waits: Counter[str] = field(default_factory=Counter)  # copies between host and device that wait, with their lines
    doubles: Counter[str] = field(default_factory=Counter)  # float64 of more than SMALL numbers
    products: Counter[str] = field(default_factory=Counter)  # matrix products, by "dtype at line" of the project

    def as_json(self) -> dict[str, Any]:
        return {part.name: getattr(self, part.name) for part in fields(self)}


class OperatorWatch(TorchDispatchMode):
    """Counts what runs inside; `counts` is begun anew by `reset`."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self.in_use = 0
        self._storages: dict[int, Any] = {}

    def reset(self) -> None:
        self.counts = Counts(peak=self.in_use)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        given = [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)]
        made = [part for part in tree_leaves(out) if isinstance(part, Tensor)]
        view = any(part.alias_info and not part.alias_info.is_write for part in func._schema.returns)
        for tensor in () if view else made:
            self._track(tensor)
        on_device = {id(part): part for part in (*given, *made) if part.device.type == "cuda"}
        if on_device:
            self._look_for_waits(name, args, kwargs, given, made)
            if not view and name not in IDLE:
                self._count(func, name, args, kwargs, out, list(on_device.values()), made)
        return out

    def _track(self, tensor: Tensor) -> None:
        if tensor.device.type != "cuda":
            return
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._storages:
            return
        size = -(-storage.nbytes() // ROUNDED) * ROUNDED

        def gone(_: Any) -> None:
            self._storages.pop(place, None)
            self.in_use -= size

        self._storages[place] = weakref.ref(storage, gone)
        self.in_use += size
        self.counts.peak = max(self.counts.peak, self.in_use)

    def _look_for_waits(self, name: str, args: Any, kwargs: Any, given: list[Tensor], made: list[Tensor]) -> None:
        if name in COPIES:
            source, target = given[1 if name == "copy_" else 0], made[0]
            if source.device.type == target.device.type:
                return
            asynchronous = kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2])
            on_host = source if source.device.type == "cpu" else target
            if not (asynchronous and getattr(on_host, PINNED, False)):
                self.counts.waits[f"{name} {source.device.type} to {target.device.type} at {place_of_call()}"] += 1
        elif any(part.device.type == "cpu" and part.ndim > 0 for part in given):
            self.counts.waits[f"{name} takes a CPU tensor at {place_of_call()}"] += 1

    def _count(
        self, func: Any, name: str, args: Any, kwargs: Any, out: Any, on_device: list[Tensor], made: list[Tensor]
    ) -> None:
        counts = self.counts
        counts.launches += 1
        counts.operators[name] += 1
        counts.traffic += sum(tensor.numel() * tensor.itemsize for tensor in on_device)
        if any(part.dtype == torch.float64 and part.numel() > SMALL for part in made if part.device.type == "cuda"):
            counts.doubles[f"{name} at {place_of_call()}"] += 1
        if func.overloadpacket in flop_registry:
            dtype = str(on_device[0].dtype).removeprefix("torch.")
            counts.flops[dtype] += flop_registry[func.overloadpacket](*args, **kwargs, out_val=out)
            counts.products[f"{dtype}: {name}"] += 1


def place_of_call() -> str:
    """The innermost line of the project that led here."""
    frames = [frame for frame in traceback.extract_stack() if is_own(frame.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "a backward pass"


def is_own(file: str) -> bool:
    """Whether a file is the project's, this folder's left out."""
    own = any(folder in file for folder in OWN_FOLDERS) and "site-packages" not in file
    return own and not file.startswith(str(Path(__file__).parent))

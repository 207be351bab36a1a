"""The processes of a training, their devices, and their sums. Knows no method.

Data parallel training all-reduces gradients once per update, after the last accumulation round or during its backward
pass (`sid.parallel.overlap`). It does not use torch's DDP wrapper: several players train overlapping networks in turn
through input gradients of frozen ones, and a loss enters a network several times or leaves it early, so that DDP would
need a wrapper per player and a search for unused parameters in every pass.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from sid.fault import Fault
from sid.parallel.overlap import GradientSums, buckets
from sid.parallel.settings import FAITHFUL, EngineSettings, Footprint
from sid.releases import numbers

T = TypeVar("T")
SHARED = "shared"  # the mesh's dimension along which one copy of the networks is divided
ROOM = 0.6  # share of a device for weights and optimisers under ddp; the rest is for activations
# The oldest torch with which sharded networks were tested; with 2.11 a sharded backward pass fails inside torch.
SHARDING_SINCE = (2, 13)
SHARDS = numbers(torch.__version__) >= SHARDING_SINCE


@dataclass(frozen=True)
class Engine:
    """One of the `world` processes that share a global batch; each trains on a contiguous slice of it."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    settings: EngineSettings = FAITHFUL
    saving: Any = None  # the process group of the thread that saves the state, apart from training's all-reduces

    @staticmethod
    def here(settings: EngineSettings = FAITHFUL, device: str = "auto") -> Engine:
        """The engine of this process, one of many where torchrun started it."""
        if faults := settings.faults():
            raise Fault(faults)
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if world > 1 and settings.strategy == "single":
            raise Fault(f"engine strategy single takes one process, and torchrun started {world}: auto, ddp or fsdp2")
        if device == "auto":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        if world == 1:
            return Engine(device=torch.device(device), settings=replace(settings, strategy="single"))
        if settings.shard_over and world % settings.shard_over:
            raise Fault(
                f"engine shard_over={settings.shard_over} doesn't divide {world} processes: every copy of the networks"
                " lies on equally many"
            )
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
            atexit.register(dist.destroy_process_group)
        return Engine(rank, world, torch.device(device), settings, _saving())

    def suited(self, footprint: Footprint) -> Engine:
        """The engine with `auto` resolved: fsdp2 where networks and optimisers leave no room for activations."""
        if self.settings.strategy != "auto":
            return self._able()
        strategy = "ddp"
        if self.device.type == "cuda":
            room = ROOM * torch.cuda.get_device_properties(self.device).total_memory
            strategy = "ddp" if footprint.bytes_each(self.settings, self.world) <= room else "fsdp2"
        return replace(self, settings=replace(self.settings, strategy=strategy))._able()

    def _able(self) -> Engine:
        """The engine itself; a Fault where it would shard networks with a torch too old for it."""
        if self.sharded and not SHARDS:
            raise Fault(
                f"engine strategy fsdp2 needs torch {'.'.join(map(str, SHARDING_SINCE))} or newer (here is"
                f" {torch.__version__}): ddp takes this one; checkpointing, split_backward and eight_bit save memory"
            )
        return self

    @property
    def sharded(self) -> bool:
        return self.settings.strategy == "fsdp2"

    @property
    def mesh(self) -> DeviceMesh:
        """The processes as a line over which networks are sharded, or as a table whose rows share one copy each."""
        return _mesh(self.device.type, self.world, self.settings.holders(self.world))

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files and messages."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """This rank's sample indices within the global batch."""
        if batch % self.world:
            raise Fault(f"a batch of {batch} can't be shared by {self.world} processes: it must be a multiple of them")
        each = batch // self.world
        return range(self.rank * each, (self.rank + 1) * each)

    def sum_gradients(self, gradients: list[Tensor]) -> None:
        """All-reduces gradients with a sum: the losses already divide by the global batch.

        Sharded gradients were summed in the backward pass.
        """
        if self.world == 1 or self.sharded:
            return
        sums = GradientSums()
        for bucket in buckets(gradients):
            sums.begin(bucket)
        sums.finish()

    def norm(self, tensors: list[Tensor]) -> Tensor:
        """The norm of all tensors joined, over all processes' shards."""
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
        if not self.sharded:
            return norm
        squared = norm**2
        dist.all_reduce(squared, group=self.mesh.get_group(SHARED))
        return squared.sqrt()

    def together(self, action: Callable[[], T]) -> T:
        """Runs `action` on rank 0 and broadcasts its result; its Fault is raised on every rank."""
        if self.world == 1:
            return action()
        message: list[Any] = [None, None]  # result, sentences of a Fault
        if self.first:
            try:
                message[0] = action()
            except Fault as fault:
                message[1] = fault.sentences
        dist.broadcast_object_list(message, group=self.saving)
        if message[1] is not None:
            raise Fault(message[1])
        return message[0]


@cache
def _saving() -> Any:
    """The group for saving states, one for all trainings of this process."""
    return dist.new_group(backend="gloo")


@cache
def _mesh(device: str, world: int, holders: int) -> DeviceMesh:
    """One for all networks: a table makes process groups."""
    if holders == world:
        return init_device_mesh(device, (world,), mesh_dim_names=(SHARED,))
    return init_device_mesh(device, (world // holders, holders), mesh_dim_names=("copies", SHARED))


class Agreement:
    """All-reduces booleans with OR, so that all processes take the same branches.

    Between several processes a result comes one call late: no process waits for the slowest in every iteration.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.pending: tuple[Any, Tensor] | None = None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        if self.engine.world == 1:
            return flags
        values = torch.tensor(flags, dtype=torch.int32)  # on the CPU, by gloo: the device is not waited for
        before, self.pending = self.pending, (dist.all_reduce(values, dist.ReduceOp.MAX, async_op=True), values)
        if before is None:
            return (False,) * len(flags)
        work, reduced = before
        work.wait()
        return tuple(bool(value) for value in reduced.tolist())

    def close(self) -> None:
        """Waits for the last all-reduce, whose result is not used."""
        if self.pending is not None:
            self.pending[0].wait()
            self.pending = None

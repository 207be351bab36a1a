"""Which processes train together, on which device, and how they sum. Knows no method.

Data parallel training is one sum of gradients per update, after the last accumulation round, and not torch's DDP
wrapper: here several players train overlapping networks in turn through input gradients of frozen ones, and each loss
enters a network several times or leaves early. DDP's hooks would need a wrapper per player and unused parameters
searched in every pass. What is given up is the overlap of the sum with the last round's backward pass.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from sid.fault import Fault
from sid.parallel.settings import FAITHFUL, EngineSettings, Footprint
from sid.releases import numbers

T = TypeVar("T")
BUCKET = 2**25  # elements summed at once: 128 MiB beside the gradients, where all at once would double them
ROOM = 0.6  # of a device for weights and optimisers under ddp; the rest is for activations
# The oldest torch with which sharded networks were tested; with 2.11 a sharded backward pass fails inside torch.
SHARDING_SINCE = (2, 13)
SHARDS = numbers(torch.__version__) >= SHARDING_SINCE


@dataclass(frozen=True)
class Engine:
    """One process of the `world` that shares a global batch; each keeps a contiguous slice of it."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    settings: EngineSettings = FAITHFUL
    saving: Any = None  # the process group of the state's thread, which must not meet training's own sums

    @staticmethod
    def here(settings: EngineSettings = FAITHFUL, device: str = "auto") -> Engine:
        """The engine of this process: torchrun's, if it was started by torchrun."""
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
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo")
            atexit.register(dist.destroy_process_group)
        return Engine(rank, world, torch.device(device), settings, _saving())

    def suited(self, footprint: Footprint) -> Engine:
        """With `auto` decided: sharded where the networks and optimisers leave no room for activations."""
        if self.settings.strategy != "auto":
            return self._able()
        strategy = "ddp"
        if self.device.type == "cuda":
            room = ROOM * torch.cuda.get_device_properties(self.device).total_memory
            strategy = "ddp" if footprint.bytes_each(self.settings, self.world) <= room else "fsdp2"
        return replace(self, settings=replace(self.settings, strategy=strategy))._able()

    def _able(self) -> Engine:
        """Itself, unless it would shard networks with a torch that can't."""
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
    def first(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The global sample indices of this process."""
        if batch % self.world:
            raise Fault(f"a batch of {batch} can't be shared by {self.world} processes: it must be a multiple of them")
        each = batch // self.world
        return range(self.rank * each, (self.rank + 1) * each)

    def sum_gradients(self, gradients: list[Tensor]) -> None:
        """Each process's gradients become the sum over all: the losses already divide by the global batch.

        Sharded gradients come summed from the backward pass.
        """
        if self.world == 1 or self.sharded:
            return
        begun = None
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.flatten() for gradient in bucket]) if len(bucket) > 1 else bucket[0].flatten()
            work = dist.all_reduce(flat, async_op=True)
            if begun is not None:
                _spread(*begun)
            begun = (bucket, flat, work)
        if begun is not None:
            _spread(*begun)

    def norm(self, tensors: list[Tensor]) -> Tensor:
        """The norm of all tensors as one; of shards, over all processes."""
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
        if not self.sharded:
            return norm
        squared = norm**2
        dist.all_reduce(squared)
        return squared.sqrt()

    def together(self, action: Callable[[], T]) -> T:
        """What the first process does or finds, told to all; its Fault is everybody's."""
        if self.world == 1:
            return action()
        told: list[Any] = [None, None]
        if self.first:
            try:
                told[0] = action()
            except Fault as fault:
                told[1] = fault.sentences
        dist.broadcast_object_list(told, group=self.saving)
        if told[1] is not None:
            raise Fault(told[1])
        return told[0]


@cache
def _saving() -> Any:
    """One group for all trainings of this process."""
    return dist.new_group(backend="gloo")


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in order, in groups of at most BUCKET elements (or a single larger one)."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and size + gradient.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel()
    if bucket:
        yield bucket


def _spread(bucket: list[Tensor], flat: Tensor, work: Any) -> None:
    work.wait()
    for gradient, summed in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
        gradient.copy_(summed.view_as(gradient))


class Agreement:
    """Questions that all processes answer alike: the yes of any is the yes of all.

    Between several processes an answer comes one call late, so that none waits for the slowest in every iteration.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.asked: tuple[Any, Tensor] | None = None

    def ask(self, *answers: bool) -> tuple[bool, ...]:
        if self.engine.world == 1:
            return answers
        told = torch.tensor(answers, dtype=torch.int32)  # on the CPU: gloo carries it, the device is not asked
        before, self.asked = self.asked, (dist.all_reduce(told, dist.ReduceOp.MAX, async_op=True), told)
        if before is None:
            return (False,) * len(answers)
        work, found = before
        work.wait()
        return tuple(bool(value) for value in found.tolist())

    def close(self) -> None:
        """Waits for the question that nobody will hear the answer of."""
        if self.asked is not None:
            self.asked[0].wait()
            self.asked = None

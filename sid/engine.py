"""Which processes train together, and on which device. Knows no method."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Engine:
    """One process of the `world` that shares a global batch; each keeps a contiguous slice of it."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @staticmethod
    def here(device: str = "auto") -> Engine:
        """The engine of this process: torchrun's, if it was started by torchrun."""
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if device == "auto":
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
        if world > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return Engine(rank, world, torch.device(device))

    def share(self, batch: int) -> range:
        """The global sample indices of this process."""
        if batch % self.world:
            raise ValueError(f"a batch of {batch} can't be shared by {self.world} processes")
        each = batch // self.world
        return range(self.rank * each, (self.rank + 1) * each)

    def sum_gradients(self, gradients: list[Tensor]) -> None:
        """Each process's gradients become the sum over all: the losses already divide by the global batch."""
        if self.world == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def agree(self, flag: bool) -> bool:
        """True on every process if it is true on any: saving and stopping happen together."""
        if self.world == 1:
            return flag
        told = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told.item())

    def wait(self) -> None:
        if self.world > 1:
            dist.barrier()

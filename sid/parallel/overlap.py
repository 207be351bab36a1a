"""Sums of gradients over data parallel processes, in buckets; with `overlap` while the backward pass still runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Numbers = TypeVar("Numbers", bound=Tensor)
# Elements summed at once: 128 MiB of float32 beside the gradients, where all at once would double them.
BUCKET = 2**25


def buckets(tensors: Iterable[Numbers]) -> Iterator[list[Numbers]]:
    """The tensors in order, in groups of at most BUCKET elements (or a single larger one)."""
    bucket: list[Numbers] = []
    size = 0
    for tensor in tensors:
        if bucket and size + tensor.numel() > BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.numel()
    if bucket:
        yield bucket


class GradientSums:
    """All-reduces buckets of gradients in place. Two are on their way at most: each needs its size once more."""

    def __init__(self) -> None:
        self.begun: tuple[list[Tensor], Tensor, Any] | None = None

    def begin(self, bucket: list[Tensor]) -> None:
        """Begins one sum, and waits for the one before. All processes begin the same ones in the same order."""
        flat = torch.cat([gradient.flatten() for gradient in bucket]) if len(bucket) > 1 else bucket[0].flatten()
        work = dist.all_reduce(flat, async_op=True)
        self.finish()
        self.begun = (bucket, flat, work)

    def finish(self) -> None:
        """Waits for what was begun."""
        if self.begun is None:
            return
        (bucket, flat, work), self.begun = self.begun, None
        work.wait()
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, summed in zip(bucket, parts, strict=True):
            gradient.copy_(summed.view_as(gradient))


class Overlap:
    """Begins the sum of a bucket as soon as a backward pass has given all of its gradients.

    Every process must begin the same buckets in the same order, whenever its gradients come. That order is learned: in
    a player's first update nothing overlaps, and the first process tells the others in which order its gradients came.
    What has no gradient then, or none in a later update, is summed at the end.
    """

    def __init__(self, parameters: list[nn.Parameter]):
        self.parameters = parameters
        self.order: list[nn.Parameter] | None = None  # None: not learned
        self.arrived: dict[nn.Parameter, None] | None = None  # None: this is not the update's last backward pass
        self.waiting: list[list[nn.Parameter]] = []  # buckets that are not begun
        self.missing: list[set[nn.Parameter]] = []  # of each, what has no gradient yet
        self.place: dict[nn.Parameter, int] = {}  # the number of its bucket
        self.summed: set[nn.Parameter] = set()
        self.sums = GradientSums()
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._arrive)

    def begin(self) -> None:
        """The next backward pass is the update's last."""
        self.arrived, self.summed = {}, set()
        self.waiting = list(buckets(self.order or ()))
        self.missing = [set(bucket) for bucket in self.waiting]
        self.place = {parameter: number for number, bucket in enumerate(self.waiting) for parameter in bucket}

    def _arrive(self, parameter: nn.Parameter) -> None:
        if self.arrived is None:
            return
        assert parameter not in self.arrived, "a gradient came twice in one backward pass"
        self.arrived[parameter] = None
        if parameter in self.place:
            self.missing[self.place[parameter]].discard(parameter)
        while self.waiting and not self.missing[len(self.missing) - len(self.waiting)]:
            self._sum(self.waiting.pop(0))

    def _sum(self, bucket: list[nn.Parameter]) -> None:
        self.summed.update(bucket)
        self.sums.begin([parameter.grad for parameter in bucket if parameter.grad is not None])

    def finish(self) -> None:
        """Sums what the backward pass left, and waits for all."""
        rest = (part for part in self.parameters if part.grad is not None and part not in self.summed)
        for bucket in buckets(rest):
            self._sum(bucket)
        self.sums.finish()
        if self.order is None:
            self.order = self._agreed(list(self.arrived or ()))
        self.arrived = None

    def _agreed(self, order: list[nn.Parameter]) -> list[nn.Parameter]:
        """The order of the first process, on all."""
        number = {parameter: number for number, parameter in enumerate(self.parameters)}
        numbers = [number[parameter] for parameter in order]
        padding = [-1] * (len(self.parameters) - len(numbers))
        shared = torch.tensor(numbers + padding, device=self.parameters[0].device)
        dist.broadcast(shared, 0)
        return [self.parameters[place] for place in shared.tolist() if place >= 0]

"""Moments in the CPU's memory: a bundle of parameters is brought to the device for its step, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sid.parallel.sharding import local


class HostBundle:
    """Parameters whose moments are brought, moved and taken back together. It has the methods of `eightbit.Bundle`.

    Copies go through pinned memory and don't wait: the device takes them in the order of its work. Whoever reads the
    numbers on the CPU waits first.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], names: Iterable[str]):
        shards = [local(parameter.detach()) for parameter in parameters]
        self.parameters, self.device = parameters, shards[0].device
        self.sizes = [shard.numel() for shard in shards]
        zeros = torch.zeros(sum(self.sizes), dtype=shards[0].dtype)
        self.moments = {name: zeros.pin_memory() if self.device.type == "cuda" else zeros.clone() for name in names}

    def decoded(self, name: str) -> tuple[Tensor, list[Tensor]]:
        """A moment's numbers on the device, and each parameter's within them, in its shape."""
        numbers = self.moments[name].to(self.device, non_blocking=True, copy=True)
        return numbers, self._parts(numbers)

    def encode(self, name: str, numbers: Tensor, random: object, still: Iterable[nn.Parameter] = ()) -> None:
        """Takes back what `decoded` returned; nothing is rounded, and nobody has touched those that stand `still`."""
        self.moments[name].copy_(numbers, non_blocking=True)

    def read(self, name: str, parameter: nn.Parameter) -> Tensor:
        """One parameter's moment, on the CPU."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        return self._of(name, parameter)

    def write(self, name: str, parameter: nn.Parameter, numbers: Tensor) -> None:
        """One parameter's moment."""
        self._of(name, parameter).copy_(numbers)

    def _of(self, name: str, parameter: nn.Parameter) -> Tensor:
        number = next(number for number, part in enumerate(self.parameters) if part is parameter)
        return self._parts(self.moments[name])[number]

    def _parts(self, numbers: Tensor) -> list[Tensor]:
        pairs = zip(numbers.split(self.sizes), self.parameters, strict=True)
        return [part.view(local(parameter).shape) for part, parameter in pairs]

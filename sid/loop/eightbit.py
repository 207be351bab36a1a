"""Moments in a byte a number: the code, and bundles of parameters that are coded together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sid.parallel.sharding import local

BUNDLE = 2**24  # numbers of a bundle at most, or of one larger parameter: what is decoded at once
BLOCK = 256  # numbers that share a scale
OCTAVE = 12  # steps in a factor of two: 6 % each


class EightBit:
    """A tensor in a byte a number. Unsigned, 255 levels reach down to 2^-21 of the largest; signed, 127 to 2^-10."""

    def __init__(self, like: Tensor, signed: bool):
        self.shape, self.size, self.signed = like.shape, like.numel(), signed
        self.top = 127 if signed else 255
        blocks = -(-self.size // BLOCK)
        self.codes = torch.zeros(blocks, BLOCK, dtype=torch.uint8, device=like.device)
        self.scales = torch.zeros(blocks, 1, dtype=like.dtype, device=like.device)

    def read(self) -> Tensor:
        """The decoded numbers, in the tensor's shape."""
        return self.decoded().flatten()[: self.size].view(self.shape)

    def decoded(self, blocks: slice = slice(None)) -> Tensor:
        """The decoded numbers of some blocks, [blocks, BLOCK]."""
        codes, scales = self.codes[blocks], self.scales[blocks]
        levels = _levels(self.top, scales.device, scales.dtype)
        numbers = levels[(codes % (self.top + 1)).int() if self.signed else codes.int()] * scales
        return torch.where(codes > self.top, -numbers, numbers) if self.signed else numbers

    def write(self, numbers: Tensor, random: torch.Generator | None = None) -> None:
        """Encodes numbers, rounded at random without bias; without `random` to the nearest, which undoes `read`."""
        flat = pad(numbers.flatten(), (0, self.codes.numel() - self.size)).view(self.codes.shape)
        self.scales = flat.abs().amax(1, keepdim=True)
        share = (flat.abs() / self.scales).nan_to_num_(0.0)  # a block of zeros has no scale
        levels = _levels(self.top, flat.device, flat.dtype)
        below = (self.top + OCTAVE * share.log2()).floor_().clamp_(0, self.top - 1).int()
        least = levels[below]
        way = (share - least) / (levels[below + 1] - least)
        bound = (
            torch.full_like(way, 0.5) if random is None else torch.rand(way.shape, generator=random, device=way.device)
        )
        code = below + (way > bound)
        if not self.signed:
            code = torch.where(flat > 0, code.clamp(min=1), 0)
        if self.signed:
            code += (self.top + 1) * ((flat < 0) & (code > 0))
        self.codes = code.to(torch.uint8)


@cache
def _levels(top: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The codes' values as shares of the largest: 0, then OCTAVE steps in every factor of two."""
    exponents = torch.arange(1 - top, 1, dtype=torch.float64) / OCTAVE
    return torch.cat([torch.zeros(1, dtype=torch.float64), 2**exponents]).to(device, dtype)


class Bundle:
    """Parameters whose moments are decoded, moved and encoded together: a few launches for all of them.

    Each parameter begins at a block of its own, so that no scale is shared. Numbers lie in the parameters' logical
    order, whatever their order in memory.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], signed: dict[str, bool]):
        self.parameters = parameters
        self.blocks: dict[nn.Parameter, slice] = {}
        end = 0
        for parameter in parameters:
            begin, end = end, end - (-local(parameter).numel() // BLOCK)
            self.blocks[parameter] = slice(begin, end)
        like = local(parameters[0].detach()).new_empty(end * BLOCK)
        self.moments = {name: EightBit(like, with_sign) for name, with_sign in signed.items()}

    def decoded(self, name: str) -> tuple[Tensor, list[Tensor]]:
        """A moment's numbers, and each parameter's within them, in its shape."""
        numbers = self.moments[name].read()
        return numbers, [self._part(numbers, parameter) for parameter in self.parameters]

    def _part(self, numbers: Tensor, parameter: nn.Parameter) -> Tensor:
        shard, blocks = local(parameter), self.blocks[parameter]
        return numbers[blocks.start * BLOCK :][: shard.numel()].view(shard.shape)

    def encode(self, name: str, numbers: Tensor, random: torch.Generator, still: Iterable[nn.Parameter] = ()) -> None:
        """Encodes what `decoded` returned; parameters that stand `still` keep their codes."""
        moment = self.moments[name]
        codes, scales = moment.codes, moment.scales
        moment.write(numbers, random)
        for parameter in still:
            blocks = self.blocks[parameter]
            moment.codes[blocks], moment.scales[blocks] = codes[blocks], scales[blocks]

    def read(self, name: str, parameter: nn.Parameter) -> Tensor:
        """One parameter's moment, decoded."""
        shard = local(parameter)
        return self.moments[name].decoded(self.blocks[parameter]).flatten()[: shard.numel()].view(shard.shape)

    def write(self, name: str, parameter: nn.Parameter, numbers: Tensor) -> None:
        """One parameter's moment, rounded to the nearest: what was read is written back bit for bit."""
        moment, blocks = self.moments[name], self.blocks[parameter]
        part = EightBit(numbers, moment.signed)
        part.write(numbers)
        moment.codes[blocks], moment.scales[blocks] = part.codes, part.scales


def bundles(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters in order, in groups of at most BUNDLE numbers (or a single larger one)."""
    groups: list[list[nn.Parameter]] = []
    size = BUNDLE
    for parameter in parameters:
        if size + parameter.numel() > BUNDLE:
            groups.append([])
            size = 0
        groups[-1].append(parameter)
        size += parameter.numel()
    return groups

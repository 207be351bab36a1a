"""An optimiser's moment in one byte a number: logarithmic steps below each block's largest, rounded at random.

After Dettmers et al. (2022, arXiv:2110.02861), who scale blocks too. Their rounding is to the nearest, which can't
follow a number that moves by a thousandth a step against the largest of its block: it stands still. Rounding up or down
at random, with the mean at the number itself, follows it. A second moment is never rounded to nothing, which would make
the next step thirty times too large: the least stands for all below it, and their steps are smaller than Adam's.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 256  # numbers that share a scale
OCTAVE = 12  # steps in a factor of two: 6 % each
SMALLEST = 4096  # tensors of fewer numbers (biases, normalisations) keep theirs in full: they weigh nothing


class EightBit:
    """One tensor's numbers. Without a sign 255 levels reach down to 2^-21 of the largest, with one 127 to 2^-10."""

    def __init__(self, like: Tensor, signed: bool):
        self.shape, self.size, self.signed = like.shape, like.numel(), signed
        self.top = 127 if signed else 255
        blocks = -(-self.size // BLOCK)
        self.codes = torch.zeros(blocks, BLOCK, dtype=torch.uint8, device=like.device)
        self.scales = torch.zeros(blocks, 1, dtype=like.dtype, device=like.device)

    def read(self) -> Tensor:
        """The numbers, shaped like the tensor they belong to."""
        levels = _levels(self.top, self.scales.device, self.scales.dtype)
        numbers = levels[(self.codes % (self.top + 1)).int() if self.signed else self.codes.int()] * self.scales
        if self.signed:
            numbers = torch.where(self.codes > self.top, -numbers, numbers)
        return numbers.flatten()[: self.size].view(self.shape)

    def write(self, numbers: Tensor, random: torch.Generator | None = None) -> None:
        """Takes other numbers. Without `random` to the nearest: what was read comes back bit for bit."""
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
    """The shares of the largest that codes stand for: nothing, then OCTAVE steps in every factor of two."""
    exponents = torch.arange(1 - top, 1, dtype=torch.float64) / OCTAVE
    return torch.cat([torch.zeros(1, dtype=torch.float64), 2**exponents]).to(device, dtype)

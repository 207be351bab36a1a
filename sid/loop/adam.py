"""Adam, or AdamW with weight decay; optionally without the first moment where beta1 is 0, or with moments in a byte.

torch's fused kernels are called directly and not through torch.optim, whose classes import the compiler when the first
is made: most of a second at the start of every training.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from sid.draws import key
from sid.method import Optimiser
from sid.parallel.sharding import local

FIRST, SECOND = "exp_avg", "exp_avg_sq"  # torch's names of the moments


class Adam:
    """Bit for bit what torch.optim.Adam and AdamW compute with fused=True; `state` has their names.

    With beta1 = 0 the first moment is the gradient: without `first_moment` the kernel takes the gradient itself, and
    nothing is stored. With `eight_bit` the moments of large parameters are stored in a byte a number, and decoded for
    one parameter at a time.
    """

    def __init__(
        self, parameters: list[nn.Parameter], settings: Optimiser, first_moment: bool = True, eight_bit: bool = False
    ):
        self.parameters, self.settings = parameters, settings
        self.rate = settings.lr  # schedules set it before a step
        self.steps = 0
        self.moments = (FIRST, SECOND) if first_moment or settings.betas[0] != 0 else (SECOND,)
        self.coded = {parameter for parameter in parameters if eight_bit and parameter.numel() >= SMALLEST}
        self._state: dict[nn.Parameter, dict[str, Tensor | EightBit]] = {}

    def state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """A parameter's step count and moments, decoded and sharded like it; empty before its first step."""
        return {name: _read(value, parameter) for name, value in self._state.get(parameter, {}).items()}

    def restore(self, parameter: nn.Parameter, state: dict[str, Tensor]) -> None:
        """Sets what `state` returned, bit for bit. The tensors are not copied."""
        zero = self._zero(parameter) if parameter in self.coded else {}
        self._state[parameter] = {**state, **{name: part for name, part in zero.items() if isinstance(part, EightBit)}}
        for name in self.moments if parameter in self.coded else ():
            self._encode(parameter, name, local(state[name]))

    @torch.no_grad()
    def step(self) -> None:
        """One step of every parameter that has a gradient."""
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in moved:
            if parameter not in self._state:
                self._state[parameter] = self._zero(parameter)
        if whole := [parameter for parameter in moved if parameter not in self.coded]:
            self._move(whole, {name: [self._number(parameter, name) for parameter in whole] for name in self.moments})
        if coded := [parameter for parameter in moved if parameter in self.coded]:
            # The same on every process of data parallel training: their weights must stay equal.
            random = torch.Generator(coded[0].device).manual_seed(key("rounding", self.steps) % 2**63)
            for parameter in coded:
                numbers = {name: self._number(parameter, name) for name in self.moments}
                self._move([parameter], {name: [number] for name, number in numbers.items()})
                for name, number in numbers.items():
                    self._encode(parameter, name, number, random)
        self.steps += 1

    def _move(self, moved: list[nn.Parameter], moments: dict[str, list[Tensor]]) -> None:
        gradients = [local(parameter.grad) for parameter in moved if parameter.grad is not None]
        steps = [self._number(parameter, "step") for parameter in moved]
        torch._foreach_add_(steps, 1)
        kernel = torch._fused_adamw_ if self.settings.weight_decay else torch._fused_adam_
        kernel(
            [local(parameter.detach()) for parameter in moved],
            gradients,
            moments.get(FIRST, gradients),
            moments[SECOND],
            [],
            steps,
            lr=self.rate,
            beta1=self.settings.betas[0],
            beta2=self.settings.betas[1],
            weight_decay=self.settings.weight_decay,
            eps=self.settings.eps,
            amsgrad=False,
            maximize=False,
        )

    def _zero(self, parameter: nn.Parameter) -> dict[str, Tensor | EightBit]:
        zero: dict[str, Tensor | EightBit] = {"step": torch.zeros((), dtype=torch.float32, device=parameter.device)}
        for name in self.moments:
            coded = parameter in self.coded
            zero[name] = EightBit(local(parameter.detach()), name == FIRST) if coded else torch.zeros_like(parameter)
        return zero

    def _number(self, parameter: nn.Parameter, name: str) -> Tensor:
        """This process's shard of a step count or moment, decoded."""
        value = self._state[parameter][name]
        if isinstance(value, Tensor):
            return local(value)
        # In the parameter's own memory order, which may be channels-last: the kernel pairs numbers as they lie.
        return torch.empty_like(local(parameter.detach())).copy_(value.read())

    def _encode(self, parameter: nn.Parameter, name: str, value: Tensor, random: torch.Generator | None = None) -> None:
        moment = self._state[parameter][name]
        assert isinstance(moment, EightBit)
        moment.write(value, random)


def _read(value: Tensor | EightBit, parameter: nn.Parameter) -> Tensor:
    if isinstance(value, Tensor):
        return value
    numbers = torch.zeros_like(parameter)
    local(numbers).copy_(value.read())
    return numbers


BLOCK = 256  # numbers that share a scale
OCTAVE = 12  # steps in a factor of two: 6 % each
SMALLEST = 4096  # tensors of fewer numbers (biases, normalisations) are not encoded: they save nothing


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
        levels = _levels(self.top, self.scales.device, self.scales.dtype)
        numbers = levels[(self.codes % (self.top + 1)).int() if self.signed else self.codes.int()] * self.scales
        if self.signed:
            numbers = torch.where(self.codes > self.top, -numbers, numbers)
        return numbers.flatten()[: self.size].view(self.shape)

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

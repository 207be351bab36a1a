"""Adam, or AdamW with weight decay; optionally without the first moment where beta1 is 0, or with moments elsewhere.

torch's fused kernels are called directly and not through torch.optim, whose classes import the compiler when the first
is made: most of a second at the start of every training.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sid.draws import key
from sid.loop.eightbit import Bundle, bundles
from sid.loop.offload import HostBundle
from sid.method import Optimiser
from sid.parallel.settings import FAITHFUL, EngineSettings
from sid.parallel.sharding import local

FIRST, SECOND, STEP = "exp_avg", "exp_avg_sq", "step"  # torch's names of the moments and of the step count
SMALLEST = 4096  # tensors of fewer numbers (biases, normalisations) are in no bundle: they save nothing


class Adam:
    """Bit for bit what torch.optim.Adam and AdamW compute with fused=True; `state` has their names.

    With beta1 = 0 the first moment is the gradient: without `first_moment` the kernel takes the gradient itself, and
    nothing is stored. The moments of large parameters may be stored in a byte a number (`eight_bit`) or in the CPU's
    memory (`offload`): they are decoded, or brought, for one bundle of parameters at a time.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: Optimiser, engine: EngineSettings = FAITHFUL):
        self.parameters, self.settings, self.engine = parameters, settings, engine
        self.rate = settings.lr  # schedules set it before a step
        self.steps = 0
        self.moments = (FIRST, SECOND) if engine.first_moment or settings.betas[0] != 0 else (SECOND,)
        apart = engine.eight_bit or engine.offload
        self.bundled = {parameter for parameter in parameters if apart and parameter.numel() >= SMALLEST}
        self._groups = bundles(parameter for parameter in parameters if parameter in self.bundled)
        self._bundles: dict[nn.Parameter, Bundle | HostBundle] = {}
        self._state: dict[nn.Parameter, dict[str, Tensor]] = {}

    def state(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        """A parameter's step count and moments, decoded and sharded like it; empty before its first step."""
        state = self._state.get(parameter, {})
        if not state or parameter not in self.bundled:
            return state
        decoded = self.empty(parameter, self.moments)
        for name, numbers in decoded.items():
            local(numbers).copy_(self._bundle(parameter).read(name, parameter))
        return {**state, **decoded}

    def empty(self, parameter: nn.Parameter, names: Iterable[str]) -> dict[str, Tensor]:
        """Zeros in the places where `state` has numbers.

        The moments of a whole network that lie in the CPU's memory are read there: the device may have no room for all.
        """
        away = self.engine.offload and parameter in self.bundled and not isinstance(parameter, DTensor)
        place: dict[str, Any] = {"device": "cpu"} if away else {}
        step = torch.zeros((), device=parameter.device)
        return {name: step if name == STEP else torch.zeros_like(parameter, **place) for name in names}

    def restore(self, parameter: nn.Parameter, state: dict[str, Tensor]) -> None:
        """Sets what `state` returned, bit for bit. The tensors are not copied."""
        if parameter not in self.bundled:
            self._state[parameter] = state
            return
        self._state[parameter] = {name: value for name, value in state.items() if name not in self.moments}
        for name in self.moments:
            self._bundle(parameter).write(name, parameter, local(state[name]))

    @torch.no_grad()
    def step(self) -> None:
        """One step of every parameter that has a gradient."""
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in moved:
            if parameter not in self._state:
                self._state[parameter] = self._zero(parameter)
        if whole := [parameter for parameter in moved if parameter not in self.bundled]:
            self._move(whole, {name: [local(self._state[part][name]) for part in whole] for name in self.moments})
        # The same on every process of data parallel training: their weights must stay equal.
        seed = key("rounding", self.steps) % 2**63
        random = None
        for group in self._groups:
            if any(parameter.grad is not None for parameter in group):
                random = random or torch.Generator(group[0].device).manual_seed(seed)
                self._move_bundle(group, random)
        self.steps += 1

    def _move_bundle(self, group: list[nn.Parameter], random: torch.Generator) -> None:
        """Decodes, moves and encodes one bundle, or brings it and takes it back."""
        bundle = self._bundle(group[0])
        at = [number for number, parameter in enumerate(group) if parameter.grad is not None]
        moved = [group[number] for number in at]
        still = [parameter for parameter in group if parameter.grad is None]
        decoded = {name: bundle.decoded(name) for name in self.moments}
        # The kernel pairs weights, gradients and moments as they lie in memory, which may be channels-last.
        moments = {
            name: [_lying_as(parameter, parts[number]) for number, parameter in zip(at, moved, strict=True)]
            for name, (_, parts) in decoded.items()
        }
        self._move(moved, moments)
        for name, (numbers, parts) in decoded.items():
            copied = [
                (parts[number], moment)
                for number, moment in zip(at, moments[name], strict=True)
                if moment is not parts[number]
            ]
            if copied:
                torch._foreach_copy_([part for part, _ in copied], [moment for _, moment in copied])
            bundle.encode(name, numbers, random, still)

    def _bundle(self, parameter: nn.Parameter) -> Bundle | HostBundle:
        """A parameter's bundle, made when it is first needed."""
        if parameter not in self._bundles:
            group = next(group for group in self._groups if any(parameter is part for part in group))
            bundle: Bundle | HostBundle = (
                HostBundle(group, self.moments)
                if self.engine.offload
                else Bundle(group, {name: name == FIRST for name in self.moments})
            )
            self._bundles |= dict.fromkeys(group, bundle)
        return self._bundles[parameter]

    def _move(self, moved: list[nn.Parameter], moments: dict[str, list[Tensor]]) -> None:
        gradients = [local(parameter.grad) for parameter in moved if parameter.grad is not None]
        steps = [local(self._state[parameter][STEP]) for parameter in moved]
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

    def _zero(self, parameter: nn.Parameter) -> dict[str, Tensor]:
        zero = {STEP: torch.zeros((), dtype=torch.float32, device=parameter.device)}
        if parameter not in self.bundled:
            zero |= {name: torch.zeros_like(parameter) for name in self.moments}
        return zero


def _lying_as(parameter: nn.Parameter, numbers: Tensor) -> Tensor:
    """The numbers in the parameter's order in memory; themselves where that is theirs."""
    shard = local(parameter.detach())
    return numbers if shard.stride() == numbers.stride() else torch.empty_like(shard).copy_(numbers)

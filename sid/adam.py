"""Adam, or AdamW where there is decoupled weight decay; where beta1 is 0, without a first moment if so told.

torch's fused kernels are called here and not through torch.optim, whose classes import the compiler as soon as one is
made: most of a second at the start of every training.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn

from sid.method import Optimiser
from sid.sharding import local


class Adam:
    """Bit for bit what torch.optim.Adam and AdamW compute with fused=True; `state` has their names.

    With beta1 = 0 the first moment is the gradient: the kernel can be given the gradient for it, and nothing is kept.
    """

    def __init__(self, parameters: list[nn.Parameter], settings: Optimiser, first_moment: bool = True):
        self.parameters, self.settings = parameters, settings
        self.rate = settings.lr  # schedules set it before a step
        self.keeps_first = first_moment or settings.betas[0] != 0
        self.state: defaultdict[nn.Parameter, dict[str, Tensor]] = defaultdict(dict)

    @torch.no_grad()
    def step(self) -> None:
        """One step of every parameter that has a gradient."""
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        if not moved:
            return
        for parameter in moved:
            if not self.state[parameter]:
                self.state[parameter] = self._zero(parameter)
        gradients = [local(parameter.grad) for parameter in moved if parameter.grad is not None]
        steps = [self.state[parameter]["step"] for parameter in moved]
        torch._foreach_add_(steps, 1)
        kernel = torch._fused_adamw_ if self.settings.weight_decay else torch._fused_adam_
        kernel(
            [local(parameter.detach()) for parameter in moved],
            gradients,
            self._kept(moved, "exp_avg") if self.keeps_first else gradients,
            self._kept(moved, "exp_avg_sq"),
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
        moments = ("exp_avg", "exp_avg_sq") if self.keeps_first else ("exp_avg_sq",)
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": step, **{name: torch.zeros_like(parameter) for name in moments}}

    def _kept(self, parameters: list[nn.Parameter], name: str) -> list[Tensor]:
        return [local(self.state[parameter][name]) for parameter in parameters]

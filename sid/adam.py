"""The optimisers that players are given: Adam, AdamW, and Adam without a first moment where beta1 is 0."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sid.method import Optimiser
from sid.sharding import local


def make_optimiser(
    settings: Optimiser, parameters: list[nn.Parameter], first_moment: bool = True
) -> torch.optim.Optimizer:
    """Adam, or AdamW where there is decoupled weight decay."""
    if not first_moment and settings.betas[0] == 0:
        return Momentless(parameters, settings)
    kind = torch.optim.AdamW if settings.weight_decay else torch.optim.Adam
    return kind(
        parameters,
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


class Momentless(torch.optim.Optimizer):
    """Adam with beta1 = 0: the first moment is the gradient, so torch's kernel is given the gradient for it."""

    def __init__(self, parameters: list[nn.Parameter], settings: Optimiser):
        told = {
            "lr": settings.lr,
            "betas": settings.betas,
            "eps": settings.eps,
            "weight_decay": settings.weight_decay,
        }
        super().__init__(parameters, told)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            for parameter in moved:
                if not self.state[parameter]:
                    step = torch.zeros((), dtype=torch.float32, device=parameter.device)
                    self.state[parameter] = {"step": step, "exp_avg_sq": torch.zeros_like(parameter)}
            steps = [self.state[parameter]["step"] for parameter in moved]
            torch._foreach_add_(steps, 1)
            gradients = [local(parameter.grad) for parameter in moved]
            kernel = torch._fused_adamw_ if group["weight_decay"] else torch._fused_adam_
            kernel(
                [local(parameter.detach()) for parameter in moved],
                gradients,
                gradients,
                [local(self.state[parameter]["exp_avg_sq"]) for parameter in moved],
                [],
                steps,
                lr=group["lr"],
                beta1=0.0,
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

"""Adam (Kingma & Ba 2015), AdamW (Loshchilov & Hutter 2019) and the average of EDM and SiD, written plainly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rule:
    """One player's optimiser. `calls` 0: the warm-up counts its own steps; else `calls` per iteration from 0."""

    rate: float
    beta1: float = 0.0
    eps: float = 1e-3
    decay: float = 0.0  # decoupled
    clip_value: float | None = None
    clip_norm: float | None = None
    warmup: int = 0
    calls: int = 0


class PlainAdam:
    """Steps the leaves in place; beta2 is 0.999 everywhere."""

    def __init__(self, leaves: list[Tensor], rule: Rule):
        self.leaves, self.rule, self.steps = leaves, rule, 0
        self.first = [torch.zeros_like(leaf) for leaf in leaves]
        self.second = [torch.zeros_like(leaf) for leaf in leaves]

    def step(self, gradients: list[Tensor | None], iteration: int) -> None:
        rule = self.rule
        present = [gradient for gradient in gradients if gradient is not None]
        if rule.clip_value is not None:
            present = [gradient.clamp(-rule.clip_value, rule.clip_value) for gradient in present]
        if rule.clip_norm is not None:
            norm = float(sum((gradient**2).sum() for gradient in present)) ** 0.5
            present = [gradient * min(1.0, rule.clip_norm / (norm + 1e-6)) for gradient in present]
        rate = rule.rate
        if rule.warmup:
            done = rule.calls * iteration if rule.calls else self.steps + 1
            rate *= min(1.0, done / rule.warmup)
        self.steps += 1
        where = [place for place, gradient in enumerate(gradients) if gradient is not None]
        for place, gradient in zip(where, present, strict=True):
            leaf, m, v = self.leaves[place].data, self.first[place], self.second[place]
            m.copy_(rule.beta1 * m + (1 - rule.beta1) * gradient)
            v.copy_(0.999 * v + 0.001 * gradient**2)
            leaf -= rate * rule.decay * leaf
            leaf -= rate * (m / (1 - rule.beta1**self.steps)) / ((v / (1 - 0.999**self.steps)).sqrt() + rule.eps)


def follow(average: dict[str, Tensor], leaves: dict[str, Tensor], batch: int, halflife: float) -> None:
    """average <- beta average + (1 - beta) weight with beta = 0.5^(batch / halflife); half-life 0 copies."""
    beta = 0.5 ** (batch / halflife) if halflife else 0.0
    for name, value in average.items():
        value.data = beta * value.data + (1 - beta) * leaves[name].data

"""A residual MLP over flattened images, modulated by noise level and class (FiLM: Perez et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from sid.condition import NULL_LABEL, Condition


class MlpNetwork(nn.Module):
    """`depth` residual blocks of `width`; the features for an adversarial term are the middle block's output."""

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 8, 8),
        width: int = 128,
        depth: int = 3,
        classes: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        pixels = math.prod(shape)
        self.classes = classes
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(torch.linspace(math.log(0.5), math.log(16.0), width // 4)))
        self.embed_time = nn.Linear(2 * (width // 4), width)
        self.embed_class = nn.Linear(classes, width, bias=False) if classes else None
        self.enter = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(MlpBlock(width, dropout) for _ in range(depth))
        self.leave_norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, pixels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]
    ) -> tuple[Tensor | None, Tensor | None]:
        angle = time[:, None] * self.frequencies.to(time)
        embedding = self.embed_time(torch.cat([angle.cos(), angle.sin()], dim=1).to(x.dtype))
        if self.embed_class is not None and condition.labels is not None:
            embedding = embedding + self.embed_class(self._one_hot(condition.labels, x.dtype))
        embedding = silu(embedding)
        hidden, features = self.enter(x.flatten(1)), None
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, embedding)
            if number == len(self.blocks) // 2 and "features" in want:
                features = hidden[:, :, None, None]
                if "x0" not in want:
                    return None, features
        return self.leave(silu(self.leave_norm(hidden))).view_as(x), features

    def _one_hot(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """sqrt(classes) at the class, all zeros for the null class."""
        classes = torch.arange(self.classes, device=labels.device)
        assert NULL_LABEL < 0
        return (labels[:, None] == classes).to(dtype) * math.sqrt(self.classes)


class MlpBlock(nn.Module):
    """x + W2 silu(scale * norm(W1 ...) + shift)."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulate = nn.Linear(width, 2 * width)
        self.inner = nn.Linear(width, 2 * width)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(2 * width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulate(embedding).chunk(2, dim=1)
        hidden = self.norm(x) * (1 + scale) + shift
        return x + self.outer(self.dropout(silu(self.inner(hidden))))

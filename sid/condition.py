"""What a denoiser is conditioned on: nothing, class labels, or text embeddings with their masks and sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from sid.draws import Draws, sent

NULL_LABEL = -1  # the class label of an unconditional sample


@dataclass(frozen=True)
class Condition:
    """A batch of conditions. Absent parts are None; an unconditional model's condition is empty."""

    labels: Tensor | None = None  # [B] class index, NULL_LABEL for none
    text: Tensor | None = None  # [B, tokens, width]
    mask: Tensor | None = None  # [B, tokens]
    pooled: Tensor | None = None  # [B, width]
    time_ids: Tensor | None = None  # [B, 6] SDXL's micro-conditioning, the same in both branches
    style: Tensor | None = None  # [B, images, ...] embedding of a style reference, equal in both branches
    styled: Tensor | None = None  # [B] whether a row with a style carries the condition
    augment: Tensor | None = None  # [B, 9] labels of the non-leaking augmentation (sid.augment), equal in both branches
    null: Condition | None = None  # batch of 1: the model's "no condition"

    def _map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        parts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "null"}
        changed: dict[str, Any] = {name: change(part) for name, part in parts.items() if part is not None}
        return replace(self, **changed)

    def to(self, like: Tensor) -> Condition:
        """On the device of `like`; floating parts in its dtype."""
        moved = self._map(lambda part: sent(part, like.device, like.dtype if part.is_floating_point() else None))
        return replace(moved, null=self.null.to(like) if self.null is not None else None)

    def __getitem__(self, rows: slice | Tensor) -> Condition:
        return self._map(lambda part: part[rows])

    @property
    def empty(self) -> bool:
        return self.labels is None and self.text is None

    def drop(self, where: Tensor) -> Condition:
        """The condition with the null one in the rows where `where` [B] is true."""
        if self.labels is not None:
            return replace(self, labels=torch.where(where, NULL_LABEL, self.labels))
        if self.null is None:
            return self
        parts: dict[str, Any] = {}
        for name in ("text", "mask", "pooled"):
            part, null = getattr(self, name), getattr(self.null, name)
            if part is not None and null is not None:
                parts[name] = torch.where(where.reshape(-1, *[1] * (part.ndim - 1)), null.to(part), part)
        if self.styled is not None:
            parts["styled"] = self.styled & ~where
        return replace(self, **parts)

    def unconditional(self) -> Condition:
        """The same batch with the null condition in every row."""
        part = self.labels if self.labels is not None else self.text
        if part is None:
            return self
        return self.drop(torch.ones(len(part), dtype=torch.bool, device=part.device))


def cat(conditions: Sequence[Condition]) -> Condition:
    """The conditions one after another, as one batch."""
    first = conditions[0]
    parts: dict[str, Any] = {}
    for field in fields(first):
        if field.name != "null" and getattr(first, field.name) is not None:
            parts[field.name] = torch.cat([getattr(condition, field.name) for condition in conditions])
    return replace(first, **parts)


class Conditions(Protocol):
    """The source of a run's conditions."""

    def draw(self, draws: Draws) -> Condition:
        """One condition per sample of these draws."""


class Unconditional:
    """Every sample without a condition."""

    def draw(self, draws: Draws) -> Condition:
        return Condition()


class ClassLabels:
    """Labels with the frequencies of a real data set: one of its labels per sample."""

    def __init__(self, labels: Tensor):
        self.labels = labels.long()

    def draw(self, draws: Draws) -> Condition:
        chosen = (draws.uniform("label") * len(self.labels)).long()
        return Condition(labels=self.labels[chosen])

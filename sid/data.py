"""What the trainer hands to the players beside noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sid.condition import Condition, Conditions
    from sid.draws import Draws


@dataclass
class Data:
    """Conditions and shape of the samples; real images and teacher's pairs where a method needs them."""

    conditions: Conditions
    sample_shape: tuple[int, ...]
    real: Callable[[Draws], tuple[Tensor, Condition]] | None = None  # draws -> (images, their condition)
    pairs: Callable[[Draws], tuple[Tensor, Tensor, Condition]] | None = None  # draws -> (noise, image, condition)

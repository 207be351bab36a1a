"""The key and value projections of an IP-Adapter with CleanStyle behind them.

Diffusers' attention processors call `to_k_ip` and `to_v_ip` as modules: with these in their places, the processors
themselves stay diffusers' own, with their masks, scales and batches of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from sid.noise import over
from sid.style.settings import CleanStyle
from sid.style.spectrum import damped


@dataclass
class Moment:
    """What the network is called with now; set before each call, so that nothing counts calls."""

    position: float = 0.0  # in the sampling, from 0 to 1
    conditional: Tensor | None = None  # [B]: the rows that carry the condition


class CleanProjection(nn.Module):
    """Keys or values [B, images, N, D] of the style tokens, cleaned by row."""

    def __init__(self, linear: nn.Module, settings: CleanStyle, moment: Moment):
        super().__init__()
        self.linear, self.settings, self.moment = linear, settings, moment

    def forward(self, tokens: Tensor) -> Tensor:
        projected, rows = self.linear(tokens), self.moment.conditional
        assert rows is not None, "the styled network sets the moment before it calls its layers"
        settings = self.settings
        assert settings.alpha_unconditional is not None, "the adapter knows its base"
        given = damped(projected, settings.k, settings.damping(self.moment.position), settings.beta)
        cleaned = given if settings.svd else projected
        other = damped(projected, 0, settings.alpha_unconditional) if settings.cfg else projected
        return cleaned.where(over(rows, projected).bool(), other)

"""A network with a style reference, and conditions that carry one.

Under guidance both rows of a sample carry the reference's embedding and a mark of which is the conditional one. The
unconditional row's tokens are the adapter's own null, or with SS-CFG those of the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from sid.condition import Condition, Conditions
from sid.draws import Draws
from sid.fault import Fault
from sid.noise import Process, over
from sid.style.projection import Moment
from sid.style.settings import CleanStyle

Output = tuple[Tensor | None, Tensor | None]


class StyledConditions:
    """Conditions whose samples all carry one style reference."""

    def __init__(self, inner: Conditions, style: Tensor):
        self.inner, self.style = inner, style  # [1, images, ...]

    def draw(self, draws: Draws) -> Condition:
        condition = self.inner.draw(draws)
        size = len(draws.indices)
        rows = torch.ones(size, dtype=torch.bool)
        return replace(condition, style=self.style.expand(size, *self.style.shape[1:]), styled=rows)


class StyledNetwork(nn.Module):
    """Network + style adapter, called as the network alone.

    Args:
        network: The adapted network behind the denoiser's call.
        process: Of the denoiser: where a time stands in the sampling.
        times: The sampler's times, from the noisiest down.
        null: The embedding of no reference [1, images, ...].
        moment: Shared with the adapter's projections.
        settings: CleanStyle's; None: the adapter as it is.
    """

    def __init__(
        self,
        network: nn.Module,
        process: Process,
        times: Sequence[float],
        null: Tensor,
        moment: Moment,
        settings: CleanStyle | None = None,
    ):
        super().__init__()
        self.network, self.process, self.times = network, process, sorted(set(times), reverse=True)
        self.null, self.moment, self.settings = null, moment, settings

    def forward(self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]) -> Output:
        if condition.style is None or condition.styled is None:
            raise Fault("a network with a style adapter needs a style reference in its condition")
        rows, style = condition.styled.to(x.device), condition.style.to(x.device, x.dtype)
        if self.settings is None or not self.settings.cfg:
            style = style.where(over(rows, style).bool(), self.null.to(style))
        self.moment.conditional = rows
        if self.settings is not None:
            self.moment.position = self.position(float(time.flatten()[0]))
        return self.network(x, time, replace(condition, style=style), want)

    def position(self, time: float) -> float:
        """Where the time stands in the sampling, by the settings' schedule; a sampler's rows share one time."""
        schedule = "noise" if self.settings is None else self.settings.schedule
        if schedule == "noise":
            return 1 - (time + 1) / (self.process.t_max + 1) if self.process.kind == "vp" else 1 - time
        noisier = sum(other > time for other in self.times)
        return (noisier + (schedule == "published")) / len(self.times)

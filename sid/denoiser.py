"""A diffusion model as one function: x0(x_t, t, condition), whatever its network predicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sid.condition import Condition
from sid.noise import Edm, Process, over, wide

X0 = frozenset({"x0"})
FEATURES = frozenset({"features"})


@dataclass(frozen=True)
class Prediction:
    """A denoiser's outputs for a batch; parts that were not wanted are None."""

    x0: Tensor | None = None
    features: Tensor | None = None

    @property
    def image(self) -> Tensor:
        """x0, which must have been wanted."""
        assert self.x0 is not None, "x0 is not among the wanted outputs"
        return self.x0


class _StopNan(torch.autograd.Function):
    """Identity whose backward zeroes the gradient rows of samples that hold a NaN.

    A masked term still sends 0 * NaN backwards. It stops here, before it meets other samples in a layer's weights.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        bad = torch.isnan(gradient).flatten(1).any(1)
        return torch.where(over(bad, gradient).bool(), 0.0, gradient)


def unusable(x: Tensor) -> Tensor:
    """The samples [B] that hold a NaN or an infinity."""
    return ~torch.isfinite(x).flatten(1).all(1)


def filled(x: Tensor, rows: Tensor, value: float) -> Tensor:
    """The samples `rows` [B] replaced by a number, through which no gradient passes."""
    return torch.where(rows.reshape(-1, *[1] * (x.ndim - 1)), value, x)


def _closed(output: Tensor, rows: Tensor) -> Tensor:
    """What a network says, NaN for the samples that never entered it; no NaN comes back through it."""
    output = filled(output, rows, torch.nan)
    return _StopNan.apply(output) if output.requires_grad else output


class Denoiser(nn.Module):
    """Network + process. Entered only through `forward`, which is what DDP, FSDP2 and compile hook.

    A sample that comes with a NaN or an infinity never enters the network: zeros go through in its place and NaN comes
    out, so that its terms drop out and the update is exactly that of the other samples, over the same denominator. The
    published loops drop such a sample's term too, but let it pass through the layers, where 0 * NaN spoils the
    gradients of all weights; those they set to 0, and one bad z costs the whole update. Their rule says what a sample
    may cost, its own term, and that is kept here. What becomes NaN inside a network is beyond it: there the zeroed
    gradients remain, as published (`sid.loop.update.NAN_GRADIENT`).

    The network is called as `network(x, time, condition, want) -> (output, features)`, with `want` a subset of
    {"x0", "features"}; with {"features"} alone it may stop early.
    """

    def __init__(self, network: nn.Module, process: Process, prediction: str, family: str = "", settings: Any = None):
        super().__init__()
        if prediction not in ("edm", "eps", "v", "flow", "x0"):
            raise ValueError(f"unknown prediction '{prediction}': edm, eps, v, flow or x0")
        if prediction == "edm" and not isinstance(process, Edm):
            raise ValueError("EDM preconditioning needs the EDM process")
        self.network, self.process, self.prediction = network, process, prediction
        self.family, self.settings = family, settings  # what the family's `build` makes this network from

    def forward(
        self, x_t: Tensor, t: Tensor, condition: Condition | None = None, want: Iterable[str] = X0
    ) -> Prediction:
        condition = Condition() if condition is None else condition
        want = frozenset(want)
        rows = unusable(x_t)
        # A tensor of its own, in which this network's paths to x_t meet before they join another network's: teacher and
        # critic, when equal, then cancel to exactly 0, where (A + B) - A - B would leave rounding that Adam inflates.
        x_t = filled(x_t, rows, 0.0)
        dtype = self._dtype(x_t)
        if self.prediction == "edm":
            scale_in, label = self._edm_input(t)
            # ln(sigma)/4 in bfloat16 would move sigma by 2 %: a label is float32 at least.
            label = label.to(torch.promote_types(dtype, torch.float32))
            output, features = self.network((over(scale_in, x_t) * x_t).to(dtype), label, condition, want)
        else:
            output, features = self.network(x_t.to(dtype), t, condition, want)
        features = None if features is None else _closed(features, rows)
        if "x0" not in want:
            return Prediction(features=features)
        return Prediction(x0=_closed(self._x0(x_t, output, t), rows), features=features)

    def _dtype(self, x_t: Tensor) -> torch.dtype:
        """The network's dtype: images are float32 at least, weights may be bfloat16."""
        parameter = next(self.network.parameters(), None)
        return x_t.dtype if parameter is None else parameter.dtype

    def _edm_input(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """c_in = 1/sqrt(sigma^2 + sigma_data^2), c_noise = ln(sigma)/4 (Karras et al. 2022, Table 1)."""
        assert isinstance(self.process, Edm)
        sigma = wide(t)
        return (sigma**2 + self.process.sigma_data**2).rsqrt(), sigma.log() / 4

    def _x0(self, x_t: Tensor, output: Tensor, t: Tensor) -> Tensor:
        """x0 from the network's output, in float32 at least."""
        if self.prediction == "edm":
            assert isinstance(self.process, Edm)
            sigma, sigma_data = over(wide(t), x_t), self.process.sigma_data
            total = sigma**2 + sigma_data**2
            return (sigma_data**2 / total) * wide(x_t) + (sigma * sigma_data * total.rsqrt()) * wide(output)
        convert = {"eps": self.process.x0_from_eps, "v": self.process.x0_from_v, "flow": self.process.x0_from_flow}
        return convert[self.prediction](x_t, output, t) if self.prediction in convert else wide(output)

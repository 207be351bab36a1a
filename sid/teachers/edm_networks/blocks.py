"""Layers, embeddings and the U-Net block of DDPM++, NCSN++ and ADM (Karras et al. 2022, appendix F).

Parameters may stay in float32 while activations are float16: every layer casts its weights to its input's dtype.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid.noise import wide


@dataclass(frozen=True)
class Init:
    """A distribution of initial values, and the factors on weights and biases."""

    law: Literal["xavier-uniform", "kaiming-uniform", "kaiming-normal"]
    weight: float = 1.0
    bias: float = 0.0

    def draw(self, shape: Sequence[int], fan_in: int, fan_out: int) -> Tensor:
        if self.law == "xavier-uniform":
            return math.sqrt(6 / (fan_in + fan_out)) * (2 * torch.rand(*shape) - 1)
        if self.law == "kaiming-uniform":
            return math.sqrt(3 / fan_in) * (2 * torch.rand(*shape) - 1)
        return math.sqrt(1 / fan_in) * torch.randn(*shape)


class Linear(nn.Module):
    """y = x W^T + b."""

    def __init__(self, inputs: int, outputs: int, init: Init, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(init.weight * init.draw((outputs, inputs), inputs, outputs))
        self.bias = nn.Parameter(init.bias * init.draw((outputs,), inputs, outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


class Conv(nn.Module):
    """A convolution, a resampling by 2, or both; kernel 0 means resampling only.

    Up and down filter depthwise with the normalised outer product of `resample_filter`. The resampling comes first
    when going up or down, except in the fused form, where the convolution is first and takes both paddings.
    """

    resample_filter: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        init: Init,
        resample: Literal["up", "down"] | None = None,
        resample_filter: Sequence[float] = (1, 1),
        fused: bool = False,
    ):
        super().__init__()
        if fused and resample != "down":
            raise ValueError("the fused form exists for downsampling only")
        self.resample, self.fused, self.kernel = resample, fused, kernel
        self.filter_padding = (len(resample_filter) - 1) // 2
        fans = (inputs * kernel**2, outputs * kernel**2)
        self.weight = self.bias = None
        if kernel:
            self.weight = nn.Parameter(init.weight * init.draw((outputs, inputs, kernel, kernel), *fans))
            self.bias = nn.Parameter(init.bias * init.draw((outputs,), *fans))
        taps = torch.tensor(resample_filter, dtype=torch.float32)
        square = taps.outer(taps)[None, None] / taps.sum() ** 2
        self.register_buffer("resample_filter", square if resample else None)

    def forward(self, x: Tensor) -> Tensor:
        if self.fused:
            return self._down(self._convolve(x, self.kernel // 2 + self.filter_padding), padding=0)
        if self.resample == "up":
            x = self._up(x)
        elif self.resample == "down":
            x = self._down(x, self.filter_padding)
        return self._convolve(x, self.kernel // 2) if self.kernel else x

    def _convolve(self, x: Tensor, padding: int) -> Tensor:
        assert self.weight is not None and self.bias is not None
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=padding)

    def _down(self, x: Tensor, padding: int) -> Tensor:
        return F.conv2d(x, self._depthwise(x), groups=x.shape[1], stride=2, padding=padding)

    def _up(self, x: Tensor) -> Tensor:
        kernel = 4 * self._depthwise(x)
        return F.conv_transpose2d(x, kernel, groups=x.shape[1], stride=2, padding=self.filter_padding)

    def _depthwise(self, x: Tensor) -> Tensor:
        assert self.resample_filter is not None
        return self.resample_filter.to(x.dtype).expand(x.shape[1], 1, -1, -1)


class GroupNorm(nn.Module):
    """Group normalisation with min(32, channels // 4) groups."""

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.groups, self.eps = min(32, max(1, channels // 4)), eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class PositionalEmbedding(nn.Module):
    """[cos, sin] of the label times frequencies that fall from 1 towards 1e-4; with `endpoint` they reach it."""

    def __init__(self, channels: int, endpoint: bool):
        super().__init__()
        self.channels, self.endpoint = channels, endpoint

    def forward(self, label: Tensor) -> Tensor:
        half = self.channels // 2
        exponent = torch.arange(half, dtype=torch.float32, device=label.device) / (half - self.endpoint)
        angle = wide(label).outer(1e-4 ** exponent.to(wide(label).dtype))
        return torch.cat([angle.cos(), angle.sin()], dim=1)


class FourierEmbedding(nn.Module):
    """[cos, sin] of 2 pi times the label times fixed normal frequencies (NCSN++)."""

    freqs: Tensor

    def __init__(self, channels: int, scale: float = 16.0):
        super().__init__()
        self.register_buffer("freqs", torch.randn(channels // 2) * scale)

    def forward(self, label: Tensor) -> Tensor:
        angle = wide(label).outer(2 * math.pi * self.freqs.to(wide(label).dtype))
        return torch.cat([angle.cos(), angle.sin()], dim=1)


@dataclass(frozen=True)
class Style:
    """The choices in which the U-Net blocks of DDPM++ and ADM differ."""

    embedding: int  # width of the embedding
    init: Init
    init_zero: Init  # the last layer of a residual branch
    init_attention: Init
    skip_scale: float = 1.0
    eps: float = 1e-5
    dropout: float = 0.0
    resample_filter: tuple[float, ...] = (1, 1)
    project_resampled: bool = False  # a 1x1 convolution in the skip of every resampling block
    adaptive: bool = True  # the embedding scales and shifts, instead of being added
    head_channels: int | None = None  # None: a single attention head


class UNetBlock(nn.Module):
    """Two normalised convolutions with the embedding between them, a skip, and optional attention."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style: Style,
        resample: Literal["up", "down"] | None = None,
        attention: bool = False,
    ):
        super().__init__()
        self.style = style
        self.heads = (1 if style.head_channels is None else outputs // style.head_channels) if attention else 0
        self.norm0 = GroupNorm(inputs, style.eps)
        self.conv0 = Conv(inputs, outputs, 3, style.init, resample, style.resample_filter)
        self.affine = Linear(style.embedding, outputs * (2 if style.adaptive else 1), style.init)
        self.norm1 = GroupNorm(outputs, style.eps)
        self.conv1 = Conv(outputs, outputs, 3, style.init_zero)
        self.skip: Conv | None = None
        if resample or inputs != outputs:
            kernel = 1 if style.project_resampled or inputs != outputs else 0
            self.skip = Conv(inputs, outputs, kernel, style.init, resample, style.resample_filter)
        if self.heads:
            self.norm2 = GroupNorm(outputs, style.eps)
            self.qkv = Conv(outputs, 3 * outputs, 1, style.init_attention)
            self.proj = Conv(outputs, outputs, 1, style.init_zero)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv0(F.silu(self.norm0(x)))
        affine = self.affine(embedding)[:, :, None, None].to(h.dtype)
        if self.style.adaptive:
            scale, shift = affine.chunk(2, dim=1)
            h = F.silu(torch.addcmul(shift, self.norm1(h), scale + 1))
        else:
            h = F.silu(self.norm1(h + affine))
        h = self.conv1(F.dropout(h, self.style.dropout, self.training))
        h = (h + (x if self.skip is None else self.skip(x))) * self.style.skip_scale
        if self.heads:
            h = (self.proj(self._attend(self.qkv(self.norm2(h)))) + h) * self.style.skip_scale
        return h

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention over pixels; q, k and v interleave in the channel axis (heads, head channels, 3).

        The fused kernel keeps its softmax in float32 and scales by 1/sqrt(head channels), as published.
        """
        batch, channels, height, width = qkv.shape
        parts = qkv.reshape(batch, self.heads, channels // (3 * self.heads), 3, height * width)
        q, k, v = parts.permute(3, 0, 1, 4, 2).contiguous().unbind(0)
        h = F.scaled_dot_product_attention(q, k, v)
        return h.transpose(2, 3).reshape(batch, channels // 3, height, width)

"""DDPM++, NCSN++ and ADM as plain functions of their weights, written from the papers' tables and the published names.

Song et al. 2021 (NCSN++), Dhariwal & Nichol 2021 (ADM), Karras et al. 2022, Table 7 and appendix F. No layer of the
project's is used: convolutions, normalisations and attention are written out over a state dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad, silu

State = dict[str, Tensor]


def normalised(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    groups = min(32, x.shape[1] // 4)
    parts = x.reshape(len(x), groups, -1)
    mean, variance = parts.mean(2, keepdim=True), parts.var(2, unbiased=False, keepdim=True)
    whitened = ((parts - mean) / (variance + eps).sqrt()).reshape(x.shape)
    return whitened * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def convolved(state: State, name: str, x: Tensor, padding: int | None = None) -> Tensor:
    weight = state[f"{name}.weight"]
    return conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[2] // 2 if padding is None else padding)


def linear(state: State, name: str, x: Tensor) -> Tensor:
    y = x @ state[f"{name}.weight"].T
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


def filtered(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Every channel under the taps' outer product, whose sum is 1; no padding."""
    line = torch.tensor(taps, dtype=x.dtype) / sum(taps)
    kernel = line.outer(line)[None, None]
    return conv2d(x.flatten(0, 1)[:, None], kernel).reshape(*x.shape[:2], x.shape[2] - len(taps) + 1, -1)


def halved(x: Tensor, taps: Sequence[float]) -> Tensor:
    margin = (len(taps) - 1) // 2
    return filtered(pad(x, (margin,) * 4), taps)[:, :, ::2, ::2]


def doubled(x: Tensor, taps: Sequence[float]) -> Tensor:
    """Zeros between the pixels, then 4 times the filter."""
    height, width = x.shape[2:]
    spread = x.new_zeros(*x.shape[:2], 2 * height - 1, 2 * width - 1)
    spread[:, :, ::2, ::2] = x
    margin = (len(taps) - 1) // 2
    full = 4 * filtered(pad(spread, (len(taps) - 1,) * 4), taps)
    return full[:, :, margin : margin + 2 * height, margin : margin + 2 * width]


class Plain:
    """One network: its weights, and the choices in which DDPM++ (and NCSN++) and ADM differ."""

    def __init__(self, state: State, settings: dict[str, Any]):
        self.state, self.settings = state, settings
        self.adm = settings["model_type"] == "DhariwalUNet"
        self.taps = settings.get("resample_filter", [1, 1])
        self.eps, self.scale = (1e-5, 1.0) if self.adm else (1e-6, math.sqrt(0.5))

    def resampled(self, x: Tensor, way: str) -> Tensor:
        return {"": lambda: x, "down": lambda: halved(x, self.taps), "up": lambda: doubled(x, self.taps)}[way]()

    def block(self, name: str, x: Tensor, embedding: Tensor, way: str = "") -> Tensor:
        state = self.state
        h = convolved(
            state, f"{name}.conv0", self.resampled(silu(normalised(state, f"{name}.norm0", x, self.eps)), way)
        )
        e = linear(state, f"{name}.affine", embedding)[:, :, None, None]
        if self.adm:
            factor, shift = e.chunk(2, dim=1)
            h = silu(shift + normalised(state, f"{name}.norm1", h, self.eps) * (1 + factor))
        else:
            h = silu(normalised(state, f"{name}.norm1", h + e, self.eps))
        h = convolved(state, f"{name}.conv1", h)
        past = self.resampled(x, way)
        past = convolved(state, f"{name}.skip", past) if f"{name}.skip.weight" in state else past
        h = (h + past) * self.scale
        if f"{name}.qkv.weight" in state:
            h = (convolved(state, f"{name}.proj", self.attended(name, h)) + h) * self.scale
        return h

    def attended(self, name: str, h: Tensor) -> Tensor:
        """softmax(q^T k / sqrt(c)) over pixels; in the channel axis heads, head channels, then (q, k, v)."""
        heads = h.shape[1] // 64 if self.adm else 1
        qkv = convolved(self.state, f"{name}.qkv", normalised(self.state, f"{name}.norm2", h, self.eps))
        parts = qkv.reshape(len(h), heads, h.shape[1] // heads, 3, -1)
        q, k, v = (parts[:, :, :, place] for place in range(3))
        weight = torch.softmax(torch.einsum("bncq,bnck->bnqk", q, k) / math.sqrt(q.shape[2]), dim=3)
        return torch.einsum("bnqk,bnck->bncq", weight, v).reshape(h.shape)

    def embedded(self, level: Tensor, classes: Tensor | None, augment: Tensor | None) -> Tensor:
        state, width = self.state, self.settings["model_channels"]
        if "map_noise.freqs" in state:
            angle = level.outer(2 * math.pi * state["map_noise.freqs"])
        else:
            last = 0 if self.adm else 1
            place = (torch.arange(width // 2, dtype=torch.float32) / (width // 2 - last)).to(level)  # a float32 table
            angle = level.outer(1e-4**place)
        cos, sin = angle.cos(), angle.sin()
        embedding = torch.cat([cos, sin] if self.adm else [sin, cos], dim=1)
        if classes is not None and not self.adm:
            embedding = embedding + linear(state, "map_label", classes * math.sqrt(classes.shape[1]))
        if augment is not None:
            embedding = embedding + linear(state, "map_augment", augment)
        embedding = linear(state, "map_layer1", silu(linear(state, "map_layer0", embedding)))
        if classes is not None and self.adm:
            embedding = embedding + linear(state, "map_label", classes)
        return silu(embedding)

    def __call__(self, x: Tensor, level: Tensor, classes: Tensor | None, augment: Tensor | None) -> Tensor:
        """F(x, c_noise)."""
        state, side = self.state, self.settings["img_resolution"]
        blocks = self.settings.get("num_blocks", 3 if self.adm else 4)
        embedding = self.embedded(level, classes, augment)
        auxiliary, skips = x, []
        for depth in range(len(self.settings["channel_mult"])):
            name = f"enc.{side >> depth}x{side >> depth}"
            if depth == 0:
                x = convolved(state, f"{name}_conv", x)
            else:
                x = self.block(f"{name}_down", x, embedding, "down")
                if f"{name}_aux_residual.weight" in state:
                    margin = (len(self.taps) - 1) // 2
                    wide = convolved(state, f"{name}_aux_residual", auxiliary, 1 + margin)
                    x = auxiliary = (x + filtered(wide, self.taps)[:, :, ::2, ::2]) / math.sqrt(2)
            skips.append(x)
            for index in range(blocks):
                x = self.block(f"{name}_block{index}", x, embedding)
                skips.append(x)
        for depth in reversed(range(len(self.settings["channel_mult"]))):
            name = f"dec.{side >> depth}x{side >> depth}"
            if f"{name}_in0.conv0.weight" in state:
                x = self.block(f"{name}_in1", self.block(f"{name}_in0", x, embedding), embedding)
            else:
                x = self.block(f"{name}_up", x, embedding, "up")
            for index in range(blocks + 1):
                x = self.block(f"{name}_block{index}", torch.cat([x, skips.pop()], dim=1), embedding)
        last = ("out_norm", "out_conv") if self.adm else (f"{name}_aux_norm", f"{name}_aux_conv")
        return convolved(state, last[1], silu(normalised(state, last[0], x, self.eps)))


def denoised(
    state: State, settings: dict[str, Any], x: Tensor, sigma: Tensor, classes: Tensor | None, augment: Tensor | None
) -> Tensor:
    """EDM's preconditioning (Karras et al. 2022, Table 1, sigma_data 0.5) around the network."""
    s, square = sigma[:, None, None, None], (sigma**2 + 0.25)[:, None, None, None]
    output = Plain(state, settings)(x / square.sqrt(), sigma.log() / 4, classes, augment)
    return 0.25 / square * x + 0.5 * s / square.sqrt() * output


def weights_by_formula(state: State) -> State:
    """The rule of tests/data/edm_outputs.json: uniform-looking numbers from the key's rank and the element's index."""
    made = {}
    for rank, name in enumerate(sorted(state)):
        shape, n = tuple(state[name].shape), state[name].numel()
        if name.endswith("resample_filter"):
            continue
        h = 43758.5453 * np.sin(12.9898 * np.arange(n, dtype=np.float64) + 78.233 * rank)
        a = 2 * (h - np.floor(h)) - 1
        if name.endswith("freqs"):
            a = 16 * a
        elif len(shape) >= 2:
            a = a * math.sqrt(3 / (n / shape[0]))
        else:
            a = 1 + 0.2 * a if "norm" in name and name.endswith("weight") else 0.2 * a
        made[name] = torch.from_numpy(a.reshape(shape).astype(np.float32))
    return made

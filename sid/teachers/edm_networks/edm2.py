"""The magnitude-preserving network of EDM2 (Karras et al. 2023, arXiv 2312.02696, appendix B: configuration G).

Every layer keeps the expected magnitude of its input: weights are normalised per output, sums and concatenations
are weighted so that variances add to one, and there is no group normalisation and no bias.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid.condition import Condition
from sid.denoiser import X0
from sid.noise import wide
from sid.teachers.edm_networks.network import class_vector


def normalised(x: Tensor, dims: tuple[int, ...], eps: float = 1e-4) -> Tensor:
    """x over its root mean square along `dims`: of weights per output, of activations per pixel."""
    norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=wide(x).dtype)
    return x / (eps + norm * math.sqrt(norm.numel() / x.numel())).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU over its root mean square for unit normal input."""
    return F.silu(x) / 0.596


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """a and b in the proportion 1 - t to t, at the magnitude of uncorrelated unit inputs."""
    return a.lerp(b, t) / math.hypot(1 - t, t)


def mp_cat(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Channels of a and b, whose shares of the magnitude are 1 - t and t whatever their number."""
    count_a, count_b = a.shape[1], b.shape[1]
    scale = math.sqrt((count_a + count_b) / ((1 - t) ** 2 + t**2))
    return torch.cat([a * (scale * (1 - t) / math.sqrt(count_a)), b * (scale * t / math.sqrt(count_b))], dim=1)


class MpFourier(nn.Module):
    """sqrt(2) cos(2 pi (f x + phase)) with normal frequencies and uniform phases."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * math.pi * torch.rand(channels))

    def forward(self, x: Tensor) -> Tensor:
        value = wide(x)
        return math.sqrt(2) * (value.outer(self.freqs.to(value.dtype)) + self.phases.to(value.dtype)).cos()


class MpConv(nn.Module):
    """A convolution with normalised weights, a linear layer for kernel 0; `forced` also rewrites them in training."""

    def __init__(self, inputs: int, outputs: int, kernel: int, forced: bool = False):
        super().__init__()
        self.kernel, self.forced = kernel, forced
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *[kernel, kernel][: 2 * bool(kernel)]))

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        dims = tuple(range(1, self.weight.ndim))
        if self.training and self.forced:
            with torch.no_grad():
                self.weight.copy_(normalised(wide(self.weight), dims))
        weight = normalised(wide(self.weight), dims) * (gain / math.sqrt(self.weight[0].numel()))
        weight = weight.to(x.dtype)
        return F.conv2d(x, weight, padding=self.kernel // 2) if self.kernel else F.linear(x, weight)


@dataclass(frozen=True)
class Edm2Settings:
    """The published constructor's arguments, with its defaults."""

    img_resolution: int
    img_channels: int
    label_dim: int = 0
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    channel_mult_noise: int | None = None
    channel_mult_emb: int | None = None
    num_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (16, 8)
    label_balance: float = 0.5
    concat_balance: float = 0.5
    channels_per_head: int = 64
    dropout: float = 0.0
    res_balance: float = 0.3
    attn_balance: float = 0.3
    clip_act: float = 256.0
    force_normalization: bool = False


class Edm2Block(nn.Module):
    """A residual branch modulated by the embedding, then attention; the encoder's input is pixel-normalised."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        flavour: Literal["enc", "dec"],
        settings: Edm2Settings,
        resample: Literal["up", "down"] | None = None,
        attention: bool = False,
    ):
        super().__init__()
        self.flavour, self.settings, self.resample = flavour, settings, resample
        self.heads = outputs // settings.channels_per_head if attention else 0
        forced = settings.force_normalization
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MpConv(outputs if flavour == "enc" else inputs, outputs, 3, forced)
        self.emb_linear = MpConv(embedding, outputs, 0, forced)
        self.conv_res1 = MpConv(outputs, outputs, 3, forced)
        self.conv_skip = MpConv(inputs, outputs, 1, forced) if inputs != outputs else None
        self.attn_qkv = MpConv(outputs, 3 * outputs, 1, forced) if self.heads else None
        self.attn_proj = MpConv(outputs, outputs, 1, forced) if self.heads else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        if self.resample == "down":
            x = F.avg_pool2d(x, 2)
        elif self.resample == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        if self.flavour == "enc":
            x = normalised(self._skip(x), (1,))
        y = self.conv_res0(mp_silu(x))
        scale = self.emb_linear(embedding, gain=self.emb_gain) + 1
        y = mp_silu(y * scale[:, :, None, None].to(y.dtype))
        y = self.conv_res1(F.dropout(y, self.settings.dropout, self.training))
        if self.flavour == "dec":
            x = self._skip(x)
        x = mp_sum(x, y, self.settings.res_balance)
        if self.attn_qkv is not None and self.attn_proj is not None:
            y = self.attn_proj(self._attend(self.attn_qkv(x)))
            x = mp_sum(x, y, self.settings.attn_balance)
        return x.clamp(-self.settings.clip_act, self.settings.clip_act)

    def _skip(self, x: Tensor) -> Tensor:
        return x if self.conv_skip is None else self.conv_skip(x)

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention of normalised q, k and v, which share the channel axis as (heads, head channels, 3)."""
        batch, channels, height, width = qkv.shape
        parts = qkv.reshape(batch, self.heads, channels // (3 * self.heads), 3, height * width)
        q, k, v = normalised(parts, (2,)).permute(3, 0, 1, 4, 2).contiguous().unbind(0)
        h = F.scaled_dot_product_attention(q, k, v)
        return h.transpose(2, 3).reshape(batch, channels // 3, height, width)


class Edm2UNet(nn.Module):
    """The network F(x, noise label): returns (output, the encoder's last map), None where not wanted."""

    def __init__(self, settings: Edm2Settings):
        super().__init__()
        self.settings = settings
        widths = [settings.model_channels * multiplier for multiplier in settings.channel_mult]
        noise = settings.model_channels * (settings.channel_mult_noise or settings.channel_mult[0])
        embedding = settings.model_channels * (settings.channel_mult_emb or max(settings.channel_mult))
        forced = settings.force_normalization
        self.out_gain = nn.Parameter(torch.zeros([]))
        self.emb_fourier = MpFourier(noise)
        self.emb_noise = MpConv(noise, embedding, 0, forced)
        self.emb_label = MpConv(settings.label_dim, embedding, 0, forced) if settings.label_dim else None
        self.enc, self.dec = nn.ModuleDict(), nn.ModuleDict()
        channels, skips = settings.img_channels + 1, []  # a channel of ones replaces biases
        for level, width in enumerate(widths):
            side = settings.img_resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = MpConv(channels, width, 3, forced)
                channels = width
            else:
                self.enc[f"{side}x{side}_down"] = Edm2Block(channels, channels, embedding, "enc", settings, "down")
            skips.append(channels)
            for index in range(settings.num_blocks):
                attention = side in settings.attn_resolutions
                block = Edm2Block(channels, width, embedding, "enc", settings, attention=attention)
                self.enc[f"{side}x{side}_block{index}"] = block
                channels = width
                skips.append(channels)
        for level, width in reversed(list(enumerate(widths))):
            side = settings.img_resolution >> level
            if level == len(widths) - 1:
                self.dec[f"{side}x{side}_in0"] = Edm2Block(
                    channels, channels, embedding, "dec", settings, attention=True
                )
                self.dec[f"{side}x{side}_in1"] = Edm2Block(channels, channels, embedding, "dec", settings)
            else:
                self.dec[f"{side}x{side}_up"] = Edm2Block(channels, channels, embedding, "dec", settings, "up")
            for index in range(settings.num_blocks + 1):
                attention = side in settings.attn_resolutions
                block = Edm2Block(channels + skips.pop(), width, embedding, "dec", settings, attention=attention)
                self.dec[f"{side}x{side}_block{index}"] = block
                channels = width
        self.out_conv = MpConv(channels, settings.img_channels, 3, forced)

    def forward(
        self, x: Tensor, noise_labels: Tensor, class_labels: Tensor | None = None, want: Collection[str] = X0
    ) -> tuple[Tensor | None, Tensor | None]:
        embedding = self.emb_noise(self.emb_fourier(noise_labels))
        if self.emb_label is not None:
            assert class_labels is not None, "a conditional network needs class labels (zeros for none)"
            labels = class_labels.to(embedding.dtype) * math.sqrt(self.settings.label_dim)
            embedding = mp_sum(embedding, self.emb_label(labels).expand_as(embedding), self.settings.label_balance)
        embedding = mp_silu(embedding)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        skips = []
        for layer in self.enc.values():
            x = layer(x, embedding) if isinstance(layer, Edm2Block) else layer(x)
            skips.append(x)
        features = x if "features" in want else None
        if "x0" not in want:
            return None, features
        for name, layer in self.dec.items():
            x = layer(mp_cat(x, skips.pop(), self.settings.concat_balance) if "_block" in name else x, embedding)
        return self.out_conv(x, gain=self.out_gain), features


class Edm2Network(nn.Module):
    """`unet` under the denoiser's call, with the published head for the log variance of the loss beside it."""

    def __init__(self, settings: Edm2Settings, logvar_channels: int = 128, half: bool = False):
        super().__init__()
        self.classes, self.half_precision = settings.label_dim, half
        self.unet = Edm2UNet(settings)
        self.logvar_fourier = MpFourier(logvar_channels)
        self.logvar_linear = MpConv(logvar_channels, 1, 0, settings.force_normalization)

    def forward(
        self, x: Tensor, time: Tensor, condition: Condition, want: frozenset[str]
    ) -> tuple[Tensor | None, Tensor | None]:
        labels = class_vector(condition, self.classes, x)
        if self.half_precision and x.is_cuda:
            x = x.half()
        return self.unet(x, time.flatten(), labels, want)

"""ADM (Dhariwal & Nichol 2021) as EDM publishes it for ImageNet 64x64 (Karras et al. 2022, Table 7)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid.denoiser import X0
from sid.teachers.edm_networks.blocks import Conv, GroupNorm, Init, Linear, PositionalEmbedding, Style, UNetBlock

KAIMING = Init("kaiming-uniform", weight=math.sqrt(1 / 3), bias=math.sqrt(1 / 3))
ZERO = Init("kaiming-uniform", weight=0.0, bias=0.0)


@dataclass(frozen=True)
class AdmSettings:
    """The published constructor's arguments, with its defaults."""

    img_resolution: int
    in_channels: int
    out_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 3, 4)
    channel_mult_emb: int = 4
    num_blocks: int = 3
    attn_resolutions: tuple[int, ...] = (32, 16, 8)
    dropout: float = 0.10
    label_dropout: float = 0.0


class DhariwalUNet(nn.Module):
    """The network F(x, noise label): returns (output, the encoder's last map), None where not wanted."""

    def __init__(self, settings: AdmSettings):
        super().__init__()
        self.settings = settings
        width = settings.model_channels * settings.channel_mult_emb
        self.map_noise = PositionalEmbedding(settings.model_channels, endpoint=False)
        self.map_augment = (
            Linear(settings.augment_dim, settings.model_channels, ZERO, bias=False) if settings.augment_dim else None
        )
        self.map_layer0 = Linear(settings.model_channels, width, KAIMING)
        self.map_layer1 = Linear(width, width, KAIMING)
        label_init = Init("kaiming-normal", weight=math.sqrt(settings.label_dim))
        self.map_label = Linear(settings.label_dim, width, label_init, bias=False) if settings.label_dim else None
        style = Style(width, KAIMING, ZERO, KAIMING, dropout=settings.dropout, head_channels=64)
        self.enc = nn.ModuleDict()
        skips = self._build_encoder(style)
        self.dec = nn.ModuleDict()
        channels = self._build_decoder(style, skips)
        self.out_norm = GroupNorm(channels)
        self.out_conv = Conv(channels, settings.out_channels, 3, ZERO)

    def _build_encoder(self, style: Style) -> list[int]:
        """Fills the encoder and returns the channels of its skips, in order."""
        settings = self.settings
        channels = settings.model_channels * settings.channel_mult[0]
        skips = []
        for level, multiplier in enumerate(settings.channel_mult):
            side = settings.img_resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = Conv(settings.in_channels, channels, 3, KAIMING)
            else:
                self.enc[f"{side}x{side}_down"] = UNetBlock(channels, channels, style, resample="down")
            skips.append(channels)
            for index in range(settings.num_blocks):
                outputs = settings.model_channels * multiplier
                attention = side in settings.attn_resolutions
                self.enc[f"{side}x{side}_block{index}"] = UNetBlock(channels, outputs, style, attention=attention)
                channels = outputs
                skips.append(channels)
        return skips

    def _build_decoder(self, style: Style, skips: list[int]) -> int:
        """Fills the decoder and returns its last channels."""
        settings = self.settings
        channels = skips[-1]
        for level, multiplier in reversed(list(enumerate(settings.channel_mult))):
            side = settings.img_resolution >> level
            if level == len(settings.channel_mult) - 1:
                self.dec[f"{side}x{side}_in0"] = UNetBlock(channels, channels, style, attention=True)
                self.dec[f"{side}x{side}_in1"] = UNetBlock(channels, channels, style)
            else:
                self.dec[f"{side}x{side}_up"] = UNetBlock(channels, channels, style, resample="up")
            for index in range(settings.num_blocks + 1):
                outputs = settings.model_channels * multiplier
                attention = side in settings.attn_resolutions
                block = UNetBlock(channels + skips.pop(), outputs, style, attention=attention)
                self.dec[f"{side}x{side}_block{index}"] = block
                channels = outputs
        return channels

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        want: Collection[str] = X0,
    ) -> tuple[Tensor | None, Tensor | None]:
        embedding = self._embed(noise_labels, class_labels, augment_labels)
        skips = []
        for layer in self.enc.values():
            x = layer(x, embedding) if isinstance(layer, UNetBlock) else layer(x)
            skips.append(x)
        features = x if "features" in want else None
        if "x0" not in want:
            return None, features
        for name, layer in self.dec.items():
            x = layer(torch.cat([x, skips.pop()], dim=1) if "_block" in name else x, embedding)
        return self.out_conv(F.silu(self.out_norm(x))), features

    def _embed(self, noise_labels: Tensor, class_labels: Tensor | None, augment_labels: Tensor | None) -> Tensor:
        embedding = self.map_noise(noise_labels)
        if self.map_augment is not None and augment_labels is not None:
            embedding = embedding + self.map_augment(augment_labels.to(embedding.dtype))
        embedding = self.map_layer1(F.silu(self.map_layer0(embedding)))
        if self.map_label is not None:
            assert class_labels is not None, "a conditional network needs class labels (zeros for none)"
            labels = class_labels.to(embedding.dtype)
            if self.training and self.settings.label_dropout:
                keep = torch.rand(len(labels), 1, device=labels.device) >= self.settings.label_dropout
                labels = labels * keep
            embedding = embedding + self.map_label(labels)
        return F.silu(embedding)

"""DDPM++ and NCSN++ as EDM publishes them (Karras et al. 2022, Table 7; Song et al. 2021 for the shapes)."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid.denoiser import X0
from sid.fault import Fault
from sid.teachers.edm_networks.blocks import (
    Conv,
    FourierEmbedding,
    GroupNorm,
    Init,
    Linear,
    PositionalEmbedding,
    Style,
    UNetBlock,
)

XAVIER = Init("xavier-uniform")
XAVIER_ZERO = Init("xavier-uniform", weight=1e-5)
XAVIER_ATTENTION = Init("xavier-uniform", weight=math.sqrt(0.2))


@dataclass(frozen=True)
class SongSettings:
    """The published constructor's arguments, with its defaults (DDPM++)."""

    img_resolution: int
    in_channels: int
    out_channels: int
    label_dim: int = 0
    augment_dim: int = 0
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    dropout: float = 0.10
    label_dropout: float = 0.0
    embedding_type: Literal["positional", "fourier"] = "positional"
    channel_mult_noise: int = 1
    encoder_type: Literal["standard", "residual"] = "standard"
    decoder_type: Literal["standard"] = "standard"
    resample_filter: tuple[float, ...] = (1, 1)

    def __post_init__(self) -> None:
        for name, known in (
            ("embedding_type", ("positional", "fourier")),
            ("encoder_type", ("standard", "residual")),
            ("decoder_type", ("standard",)),
        ):
            if getattr(self, name) not in known:
                raise Fault(f"{name} must be {' or '.join(known)} (got '{getattr(self, name)}')")


class SongUNet(nn.Module):
    """The network F(x, noise label): returns (output, the encoder's last map), None where not wanted."""

    def __init__(self, settings: SongSettings):
        super().__init__()
        self.settings = settings
        width = settings.model_channels * settings.channel_mult_emb
        noise_width = settings.model_channels * settings.channel_mult_noise
        if settings.embedding_type == "positional":
            self.map_noise: nn.Module = PositionalEmbedding(noise_width, endpoint=True)
        else:
            self.map_noise = FourierEmbedding(noise_width)
        self.map_label = Linear(settings.label_dim, noise_width, XAVIER) if settings.label_dim else None
        self.map_augment = (
            Linear(settings.augment_dim, noise_width, XAVIER, bias=False) if settings.augment_dim else None
        )
        self.map_layer0 = Linear(noise_width, width, XAVIER)
        self.map_layer1 = Linear(width, width, XAVIER)
        style = Style(
            embedding=width,
            init=XAVIER,
            init_zero=XAVIER_ZERO,
            init_attention=XAVIER_ATTENTION,
            skip_scale=math.sqrt(0.5),
            eps=1e-6,
            dropout=settings.dropout,
            resample_filter=settings.resample_filter,
            project_resampled=True,
            adaptive=False,
        )
        self.enc = nn.ModuleDict()
        skips = self._build_encoder(style)
        self.dec = nn.ModuleDict()
        self._build_decoder(style, skips)

    def _build_encoder(self, style: Style) -> list[int]:
        """Fills the encoder and returns the channels of its skips, in order."""
        settings = self.settings
        channels, aux_channels = settings.model_channels, settings.in_channels
        skips = []
        for level, multiplier in enumerate(settings.channel_mult):
            side = settings.img_resolution >> level
            if level == 0:
                self.enc[f"{side}x{side}_conv"] = Conv(settings.in_channels, channels, 3, XAVIER)
            else:
                self.enc[f"{side}x{side}_down"] = UNetBlock(channels, channels, style, resample="down")
                if settings.encoder_type == "residual":
                    self.enc[f"{side}x{side}_aux_residual"] = Conv(
                        aux_channels, channels, 3, XAVIER, "down", settings.resample_filter, fused=True
                    )
                    aux_channels = channels
            skips.append(channels)
            for index in range(settings.num_blocks):
                outputs = settings.model_channels * multiplier
                attention = side in settings.attn_resolutions
                self.enc[f"{side}x{side}_block{index}"] = UNetBlock(channels, outputs, style, attention=attention)
                channels = outputs
                skips.append(channels)
        return skips

    def _build_decoder(self, style: Style, skips: list[int]) -> None:
        settings = self.settings
        channels = skips[-1]
        lowest = len(settings.channel_mult) - 1
        for level, multiplier in reversed(list(enumerate(settings.channel_mult))):
            side = settings.img_resolution >> level
            if level == lowest:
                self.dec[f"{side}x{side}_in0"] = UNetBlock(channels, channels, style, attention=True)
                self.dec[f"{side}x{side}_in1"] = UNetBlock(channels, channels, style)
            else:
                self.dec[f"{side}x{side}_up"] = UNetBlock(channels, channels, style, resample="up")
            for index in range(settings.num_blocks + 1):
                outputs = settings.model_channels * multiplier
                attention = index == settings.num_blocks and side in settings.attn_resolutions
                block = UNetBlock(channels + skips.pop(), outputs, style, attention=attention)
                self.dec[f"{side}x{side}_block{index}"] = block
                channels = outputs
        self.dec[f"{side}x{side}_aux_norm"] = GroupNorm(channels, eps=1e-6)
        self.dec[f"{side}x{side}_aux_conv"] = Conv(channels, settings.out_channels, 3, XAVIER_ZERO)

    def forward(
        self,
        x: Tensor,
        noise_labels: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
        want: Collection[str] = X0,
    ) -> tuple[Tensor | None, Tensor | None]:
        embedding = self._embed(noise_labels, class_labels, augment_labels)
        skips = self._encode(x, embedding)
        features = skips[-1] if "features" in want else None
        return (self._decode(skips, embedding) if "x0" in want else None), features

    def _embed(self, noise_labels: Tensor, class_labels: Tensor | None, augment_labels: Tensor | None) -> Tensor:
        embedding = self.map_noise(noise_labels)
        embedding = torch.cat(embedding.chunk(2, dim=1)[::-1], dim=1)  # [cos, sin] -> [sin, cos]
        if self.map_label is not None:
            assert class_labels is not None, "a conditional network needs class labels (zeros for none)"
            labels = class_labels.to(embedding.dtype)
            if self.training and self.settings.label_dropout:
                keep = torch.rand(len(labels), 1, device=labels.device) >= self.settings.label_dropout
                labels = labels * keep
            embedding = embedding + self.map_label(labels * math.sqrt(self.settings.label_dim))
        if self.map_augment is not None and augment_labels is not None:
            embedding = embedding + self.map_augment(augment_labels.to(embedding.dtype))
        return F.silu(self.map_layer1(F.silu(self.map_layer0(embedding))))

    def _encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        """The encoder's skips; NCSN++ adds an auxiliary stream of the downsampled input after each `_down` block."""
        skips: list[Tensor] = []
        auxiliary = x
        for name, layer in self.enc.items():
            if name.endswith("_aux_residual"):
                x = skips[-1] = auxiliary = (x + layer(auxiliary)) * math.sqrt(0.5)
                continue
            x = layer(x, embedding) if isinstance(layer, UNetBlock) else layer(x)
            skips.append(x)
        return skips

    def _decode(self, skips: list[Tensor], embedding: Tensor) -> Tensor:
        unused = list(skips)
        x = unused[-1]
        for name, layer in self.dec.items():
            if isinstance(layer, UNetBlock):
                x = layer(torch.cat([x, unused.pop()], dim=1) if "_block" in name else x, embedding)
            elif isinstance(layer, GroupNorm):
                x = F.silu(layer(x))
            else:
                x = layer(x)
        return x

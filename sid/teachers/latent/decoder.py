"""The autoencoder between latents and images in [-1, 1]."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sid.fault import Fault
from sid.teachers.latent import folder as folders
from sid.teachers.latent.loading import first_line


class Decoder:
    """image = decode(latent / scale + shift), in float32: SDXL's autoencoder overflows in float16.

    A generator's latents are the encoder's times `scaling_factor` (0.18215 for SD, 0.13025 for SDXL), after the
    subtraction of `shift_factor` where there is one (SD3).
    """

    def __init__(self, autoencoder: Any):
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.scale = float(autoencoder.config.scaling_factor)
        self.shift = float(getattr(autoencoder.config, "shift_factor", None) or 0.0)

    @classmethod
    def open(cls, inside: Path) -> Decoder:
        from diffusers import AutoencoderKL

        files = folders.weight_files(inside)
        folders.stored_dtypes(files)
        try:
            autoencoder = AutoencoderKL.from_pretrained(
                inside, local_files_only=True, use_safetensors=True, variant=folders.variant_of(files)
            )
        except Exception as error:
            raise Fault(f"{inside} is no AutoencoderKL: {first_line(error)}") from None
        return cls(autoencoder.float())

    def to(self, device: torch.device | str) -> Decoder:
        self.autoencoder.to(device)
        return self

    def sample_shape(self, side: int) -> tuple[int, int, int]:
        """The shape of the latents of an image of `side` pixels a side."""
        factor = 2 ** (len(self.autoencoder.config.block_out_channels) - 1)
        if side % factor:
            raise Fault(f"a picture of {side} pixels has no whole latent: the autoencoder shrinks by {factor}")
        return (int(self.autoencoder.config.latent_channels), side // factor, side // factor)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents.float() / self.scale + self.shift, return_dict=False)[0]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [-1, 1], by the mean of the encoder's posterior (real images of an adversarial term)."""
        return (
            self.autoencoder.encode(images.float().to(self.autoencoder.device)).latent_dist.mean - self.shift
        ) * self.scale

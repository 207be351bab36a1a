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
    subtraction of `shift_factor` where there is one (SD3, FLUX). SANA's autoencoder has no posterior: it
    gives one latent.
    """

    def __init__(self, autoencoder: Any):
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.scale = float(autoencoder.config.scaling_factor)
        self.shift = float(getattr(autoencoder.config, "shift_factor", None) or 0.0)

    @classmethod
    def open(cls, inside: Path, kind: str = "AutoencoderKL") -> Decoder:
        """From the folder of a pipeline's autoencoder, of the diffusers class `kind`."""
        import diffusers

        files = folders.weight_files(inside)
        folders.stored_dtypes(files)
        try:
            autoencoder = getattr(diffusers, kind).from_pretrained(
                inside, local_files_only=True, use_safetensors=True, variant=folders.variant_of(files)
            )
        except Exception as error:
            raise Fault(f"{inside} is no {kind}: {first_line(error)}") from None
        return cls(autoencoder.float())

    def to(self, device: torch.device | str) -> Decoder:
        self.autoencoder.to(device)
        return self

    def sample_shape(self, side: int) -> tuple[int, int, int]:
        """The shape of the latents of an image of `side` pixels a side."""
        config = self.autoencoder.config
        levels = config.get("encoder_block_out_channels") or config["block_out_channels"]
        factor = 2 ** (len(levels) - 1)
        if side % factor:
            raise Fault(f"a picture of {side} pixels has no whole latent: the autoencoder shrinks by {factor}")
        return (int(config.latent_channels), side // factor, side // factor)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents.float() / self.scale + self.shift, return_dict=False)[0]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images in [-1, 1], by the mean of the encoder's posterior (real images of an adversarial term)."""
        encoded = self.autoencoder.encode(images.float().to(self.autoencoder.device))
        latents = encoded.latent_dist.mean if hasattr(encoded, "latent_dist") else encoded.latent
        return (latents - self.shift) * self.scale

"""Non-leaking augmentation (Karras et al. 2022, appendix F.2): the network is told what was done to the image.

An unchanged image has an all-zero label vector, and that is what a generator is always asked for, so the
augmentation trains the network without leaking into what it generates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sid.draws import constant, sent
from sid.noise import wide

if TYPE_CHECKING:
    from sid.draws import Draws

LABELS = 9
SCALE_STD, ANISOTROPY_STD = 0.2, 0.2  # of log2 of the factor
SHIFT_STD = 0.125  # of the image's width and height
# Daubechies' least asymmetric wavelet with 6 vanishing moments: orthonormal, its 12 taps sum to sqrt(2).
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
TAPS = len(SYM6)


@dataclass(frozen=True)
class Changes:
    """What is done to each image of a batch, in this order; zero everywhere is "nothing"."""

    flip_x: Tensor  # [B] 0 or 1: left and right exchanged
    flip_y: Tensor  # [B] 0 or 1: top and bottom exchanged
    scale: Tensor  # [B] n: enlarged by 2^(0.2 n)
    angle: Tensor  # [B] radians, counter-clockwise as one sees it
    anisotropy: Tensor  # [B] n: stretched by 2^(0.2 n) along `direction`, squeezed across it
    direction: Tensor  # [B] radians, counter-clockwise from the x axis
    shift: Tensor  # [B, 2] n: moved right and down by n * 0.125 of the width and height

    @classmethod
    def none(cls, batch: int, device: torch.device | str = "cpu") -> Changes:
        zero = torch.zeros(batch, device=device)
        return cls(zero, zero, zero, zero, zero, zero, torch.zeros(batch, 2, device=device))

    def labels(self) -> Tensor:
        """[B, 9], as the published networks were told."""
        return torch.stack(
            [
                self.flip_x,
                self.flip_y,
                self.scale,
                self.angle.cos() - 1,
                self.angle.sin(),
                self.anisotropy * self.direction.cos(),
                self.anisotropy * self.direction.sin(),
                self.shift[:, 0],
                self.shift[:, 1],
            ],
            dim=1,
        )

    def warped(self) -> Tensor:
        """[B] whether anything but a flip is done."""
        return (self.scale != 0) | (self.angle != 0) | (self.anisotropy != 0) | (self.shift != 0).any(dim=1)

    def sources(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """(matrix [B, 2, 2], offset [B, 2]): the point an output point comes from, in pixels from the centre, y down.

        The image is scaled, turned, stretched and then moved; this is the inverse, so it begins with the shift.
        """
        shrink = torch.exp2(-SCALE_STD * self.scale)[:, None, None]
        squeeze = torch.exp2(-ANISOTROPY_STD * self.anisotropy)
        unstretch = _turn(-self.direction) @ torch.diag_embed(torch.stack([squeeze, 1 / squeeze], 1))
        matrix = shrink * _turn(self.angle) @ unstretch @ _turn(self.direction)
        moved = self.shift * SHIFT_STD * constant((width, height), self.shift.device, self.shift.dtype)
        return matrix, -(matrix @ moved[:, :, None])[:, :, 0]


def _turn(angle: Tensor) -> Tensor:
    """[B, 2, 2]: clockwise as one sees it, since y points down."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)


def draw(draws: Draws, probability: float, stream: str = "augment") -> Changes:
    """Changes drawn per sample; each kind is switched on with `probability`, but the x flip is always a coin."""

    def uniform(name: str) -> Tensor:
        return draws.uniform(f"{stream}/{name}")

    def switched(name: str, value: Tensor) -> Tensor:
        on = uniform(f"{name}?") < probability
        return torch.where(on.reshape(-1, *[1] * (value.ndim - 1)), value.float(), 0.0)

    normal = draws.normal(f"{stream}/normal", (4,), torch.empty(0))
    circle = [2 * math.pi * uniform(name) - math.pi for name in ("angle", "direction")]
    return Changes(
        flip_x=(uniform("flip_x") < 0.5).float(),
        flip_y=switched("flip_y", uniform("flip_y") < 0.5),
        scale=switched("scale", normal[:, 0]),
        angle=switched("angle", circle[0]),
        anisotropy=switched("anisotropy", normal[:, 1]),
        direction=torch.where(uniform("direction?") < 0.5, circle[1].float(), 0.0),
        shift=switched("shift", normal[:, 2:]),
    )


def augment(images: Tensor, draws: Draws, probability: float, stream: str = "augment") -> tuple[Tensor, Tensor]:
    """(augmented images, their labels [B, 9]); with probability 0 no image is touched and all labels are zero."""
    if probability == 0:
        return images, torch.zeros(len(images), LABELS, device=images.device)
    changes = draw(draws, probability, stream)
    moved = Changes(**{field.name: sent(getattr(changes, field.name), images.device) for field in fields(changes)})
    return apply(images, moved), moved.labels()


def apply(images: Tensor, changes: Changes) -> Tensor:
    """The changed images. Flips are exact, and an image that is only flipped passes through no filter."""
    for flip, dim in ((changes.flip_x, 3), (changes.flip_y, 2)):
        images = torch.where(flip[:, None, None, None].bool(), images.flip(dim), images)
    warped = _warp(wide(images), changes).to(images.dtype)
    return torch.where(changes.warped()[:, None, None, None], warped, images)


def _warp(images: Tensor, changes: Changes) -> Tensor:
    """One affine warp: reflect, upsample by 2, sample bilinearly at pixel centres, downsample.

    The margin is always the widest that reflection allows: what an image becomes then depends on no other image
    of its batch, and no value has to come back from the device. In the upsampled image a pixel i lies at 2 i + 5, as
    the published augmentation has it; the centroid of its 12 taps is 2 i + 5.098. Up- and downsampling are adjoint,
    so the identity gives the image back.
    """
    height, width = images.shape[2:]
    margin_y, margin_x = height - 1, width - 1
    wide_image = F.pad(images, (margin_x, margin_x, margin_y, margin_y), mode="reflect")
    upsampled = _resample(_resample(wide_image, 3, up=True), 2, up=True)

    matrix, offset = changes.sources(height, width)
    xs, ys = (
        torch.arange(2 * (size - 1) + TAPS, device=images.device, dtype=images.dtype) - (2 * (size - 1) + TAPS - 2) / 2
        for size in (width, height)
    )
    points = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)
    sources = points @ matrix.to(images.dtype)[:, None].mT + 2 * offset.to(images.dtype)[:, None, None]
    half = constant((upsampled.shape[3] - 1, upsampled.shape[2] - 1), images.device) / 2
    sampled = F.grid_sample(
        upsampled, (sources - 0.5) / half, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return _resample(_resample(sampled, 3, up=False), 2, up=False)


def _resample(images: Tensor, dim: int, up: bool) -> Tensor:
    """One dimension to twice its pixels (plus the filter's length) by the wavelet, or back."""
    channels = images.shape[1]
    taps = constant(tuple(SYM6), images.device, images.dtype)
    # Normalised to sum 1, with gain 2 upwards: the values of a constant image stay what they are.
    taps = taps * (math.sqrt(2) if up else math.sqrt(0.5))
    shape, stride = ((1, 1, 1, TAPS), (1, 2)) if dim == 3 else ((1, 1, TAPS, 1), (2, 1))
    kernel = taps.reshape(shape).expand(channels, -1, -1, -1)
    return (F.conv_transpose2d if up else F.conv2d)(images, kernel, stride=stride, groups=channels)

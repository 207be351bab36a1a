"""The resizes by which the families of FID differ, to 299 x 299, for uint8 batches of one size on any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 299

Resize = Callable[[Tensor], Tensor]


def tensorflow(images: Tensor, side: int = SIDE) -> Tensor:
    """TF1 bilinear: pixel i is read at i * in/out, no half-pixel centre, no antialiasing."""
    x = images
    for axis in (2, 3):
        inside = images.shape[axis]
        # Positions in float32, as TensorFlow multiplies index by scale.
        position = torch.arange(side, device=images.device, dtype=torch.float32) * (inside / side)
        low = position.floor().long().clamp(max=inside - 1)
        high = (low + 1).clamp(max=inside - 1)
        share = (position - low).view(-1, 1) if axis == 2 else position - low
        below, above = x.index_select(axis, low).float(), x.index_select(axis, high).float()
        x = below + (above - below) * share
    return x


def clean(images: Tensor, side: int = SIDE) -> Tensor:
    """Antialiased bicubic in float, clipped, not rounded: clean-fid's resize by PIL, within 5e-3 grey levels."""
    return bicubic(images, side).clamp(0, 255)


def bicubic(images: Tensor, side: int = SIDE) -> Tensor:
    """Antialiased bicubic in float; where it overshoots, values below 0 and above 255 stay."""
    x = images.float()
    if x.shape[2:] == (side, side):
        return x
    return F.interpolate(x, (side, side), mode="bicubic", antialias=True, align_corners=False)


def bilinear(images: Tensor, side: int = SIDE) -> Tensor:
    """Torch's bilinear with half-pixel centres and no antialiasing: pytorch-fid and clean-fid's legacy_pytorch."""
    return F.interpolate(images.float(), (side, side), mode="bilinear", align_corners=False)


def antialiased(images: Tensor, side: int = SIDE) -> Tensor:
    """Torch's antialiased bilinear: torchmetrics since 1.8."""
    return F.interpolate(images.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)

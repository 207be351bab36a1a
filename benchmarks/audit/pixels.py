"""Images of an audit with their names, and the steps from uint8 pixels to what the network reads, by a recipe."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.audit.peer_recipe import OF_PILLOW, PeerRecipe

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 299
CUBIC = "clean without antialias"


@dataclass(frozen=True)
class PixelSet:
    """Images as a reader took them from a folder: uint8 [3, H, W], in its order."""

    names: tuple[str, ...]  # below the folder
    pixels: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """A hash of each image's pixels, whatever its file: equal pixels have equal features."""
        return tuple(
            hashlib.sha256(str(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
            for image in self.pixels
        )

    def unlike(self, other: PixelSet) -> str:
        """How another reader's images of the same folder differ; empty if they are the same set."""
        theirs = dict(zip(other.names, other.keys, strict=True))
        passed_over = [name for name in self.names if name not in theirs]
        added = [name for name in other.names if name not in self.names]
        mine = dict(zip(self.names, self.keys, strict=True))
        otherwise = [name for name, key in theirs.items() if mine.get(name, key) != key]
        kinds = (("passed over", passed_over), ("also read", added), ("other pixels of", otherwise))
        return "; ".join(f"{kind} {_listed(names)}" for kind, names in kinds if names)


def _listed(names: list[str]) -> str:
    from benchmarks.images.selection import printable

    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(map(printable, names[:4])) + more


def prepared(image: np.ndarray, recipe: PeerRecipe) -> Tensor:
    """One uint8 image through storage, colours, resize, rounding and normalisation: [1, 3, 299, 299]."""
    import torch

    pixels = resized(torch.from_numpy(_recoloured(_stored(image, recipe.jpeg), recipe.colour).copy())[None], recipe)
    if recipe.normalisation == "(v-128)/128":
        return (pixels - 128) / 128
    return pixels / 127.5 - 1 if recipe.normalisation == "v/127.5-1" else pixels / 255


def resized(images: Tensor, recipe: PeerRecipe) -> Tensor:
    """uint8 images [N, 3, H, W] resized to 299 x 299, in grey levels."""
    from torch.nn import functional as F

    from benchmarks.features.networks import resize

    if recipe.rounding == "half a level down":
        images = (images.float() - 0.5).clamp(0, 255)
    if recipe.resize in OF_PILLOW:
        pixels = _by_pillow(images, recipe.resize)
    elif recipe.resize == CUBIC:
        pixels = F.interpolate(images.float(), (SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 255)
    else:
        pixels = getattr(resize, recipe.resize)(images)
    return pixels.round().clamp(0, 255) if recipe.rounding == "after resize" else pixels


def _by_pillow(images: Tensor, name: str) -> Tensor:
    import torch
    from PIL import Image

    filter_ = Image.Resampling[name.upper()]
    arrays = images.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    made = [np.asarray(Image.fromarray(array).resize((SIDE, SIDE), filter_)) for array in arrays]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float()


def _stored(image: np.ndarray, quality: str) -> np.ndarray:
    """The image as it comes back from a JPEG file of Pillow's; as it is for "none"."""
    if quality == "none":
        return image
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(buffer, "JPEG", quality=int(quality))
    return np.asarray(Image.open(buffer)).transpose(2, 0, 1)


def _recoloured(image: np.ndarray, colour: str) -> np.ndarray:
    if colour == "channels reversed":
        return image[::-1]
    if colour == "grey":
        from PIL import Image

        grey = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).convert("L").convert("RGB")
        return np.asarray(grey).transpose(2, 0, 1)
    return image

"""The factors by which two FIDs of the same files differ, each of which can be changed alone or with another."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

EPS = 1e-6
DROPPED = "batches of {}, the last dropped"
BATCHES = (8, 16, 32, 50, 64, 100, 128)


FUNCTIONS = ("tensorflow", "clean", "bilinear", "antialiased")  # of benchmarks.features.networks.resize
OF_PILLOW = ("lanczos", "box", "bicubic")  # Pillow's resizes of uint8


@dataclass(frozen=True)
class PeerRecipe:
    """The settings of a Frechet distance; the defaults are this project's `fid`."""

    jpeg: str = "none"  # the quality that images are stored with before they are scored
    colour: str = "as it is"  # "channels reversed" | "grey"
    resize: str = "tensorflow"
    normalisation: str = "(v-128)/128"
    rounding: str = "none"  # "after resize": back to uint8; "half a level down": a truncating float -> uint8
    ddof: int = 1
    precision: str = "float64"  # "float32 mean" | "float32 result" | "float32"
    root: str = "symmetric"  # "sqrtm" | "eigvals"
    eps: float = 0.0  # added to both diagonals
    samples: str = "all"  # "half" of the images; or what is left where a last, incomplete batch is dropped
    order: str = "natural"  # of the files, where not all are read; "lexicographic": img10 before img2
    reference: str = "same resize"  # or the resize of the reference statistics

    def differences(self, other: PeerRecipe) -> list[str]:
        """The factors in which another recipe differs."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]

    def changed(self, factor: str, value: Any) -> PeerRecipe:
        return replace(self, **{factor: value})


ALTERNATIVES: dict[str, tuple[Any, ...]] = {
    "jpeg": ("none", "95", "90", "75"),
    "colour": ("as it is", "channels reversed", "grey"),
    "resize": (*FUNCTIONS, "clean without antialias", *OF_PILLOW),
    "normalisation": ("(v-128)/128", "v/127.5-1", "v/255"),
    "rounding": ("none", "after resize", "half a level down"),
    "ddof": (1, 0),
    "precision": ("float64", "float32 mean", "float32 result", "float32"),
    "root": ("symmetric", "sqrtm", "eigvals"),
    "eps": (0.0, EPS),
    "samples": ("all", "half", *(DROPPED.format(size) for size in BATCHES)),
    "order": ("natural", "lexicographic"),
    "reference": ("same resize", "tensorflow", "clean", "bilinear"),
}
PIXEL_FACTORS = (
    "jpeg",
    "colour",
    "resize",
    "normalisation",
    "rounding",
)  # another value is another pass

"""Floats in [-1, 1] to uint8: the rules in use. They differ by half a grey level, which moves a FID."""

from __future__ import annotations

from typing import Any

RULES = {
    "round": (127.5, 128.0),  # EDM, SiD: x * 127.5 + 128 truncated, equal to diffusers' rounding of (x/2 + 0.5) * 255
    "truncate": (127.5, 127.5),  # (x + 1) * 127.5 truncated: DMD2's sampler, GigaGAN, torchmetrics' normalize
}


def to_bytes(images: Any, rule: str = "round") -> Any:
    """Grey levels 0 to 255 of a numpy or torch array, clipped and truncated, still floats for the caller to cast."""
    scale, offset = RULES[rule]
    return (images * scale + offset).clip(0, 255) // 1

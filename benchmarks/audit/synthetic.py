"""Images without a data set: noise of several sizes with the spectrum of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZES = (64, 256, 512)


def write(folder: Path, count: int, seed: int, blur: float, sizes: tuple[int, ...] = SIZES) -> Path:
    """`count` PNG files; `blur` above 0 steepens the 1/f spectrum, so that two sets differ as two models' images do."""
    from PIL import Image

    folder.mkdir(parents=True)
    for index in range(count):
        pixels = picture(sizes[index % len(sizes)], seed * 100_003 + index, blur)
        Image.fromarray(pixels).save(folder / f"img{index:05d}.png")
    return folder


def picture(side: int, seed: int, blur: float) -> np.ndarray:
    """uint8 [side, side, 3] with amplitudes 1/f^(1 + blur) and a random mean colour."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) + 1 / side
    spectrum = np.fft.rfft2(rng.standard_normal((3, side, side))) / frequency ** (1 + blur)
    pixels = np.fft.irfft2(spectrum, (side, side))
    pixels = pixels / pixels.std() * 45 + 128 + 20 * rng.standard_normal((3, 1, 1))
    return pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)

"""Made images with structure at all scales, so that a resize, a crop or a JPEG shows."""

import io

import numpy as np
from PIL import Image


def made(count, height, width, seed=0, channels=3):
    """uint8 [N, C, H, W]: noise with a 1/f spectrum."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / max(height, width)
    spectrum = np.fft.rfft2(rng.standard_normal((count, channels, height, width))) / frequency
    pixels = np.fft.irfft2(spectrum, (height, width))
    pixels *= 48 / pixels.std(axis=(1, 2, 3), keepdims=True)
    return (pixels + 128).clip(0, 255).astype(np.uint8)


def encoded(pixels, kind="png", **options):
    """Bytes of one image file of [C, H, W] or [H, W]."""
    buffer = io.BytesIO()
    array = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def folder(path, images, kind="png", **options):
    """Writes the images as img<index>.<kind>."""
    path.mkdir(parents=True, exist_ok=True)
    for index, pixels in enumerate(images):
        (path / f"img{index}.{kind}").write_bytes(encoded(pixels, {"jpg": "jpeg"}.get(kind, kind), **options))
    return path

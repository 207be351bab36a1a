"""The publishers' own pictures of a released generator, made again: same noise, same prompts, pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.images.reading import decode, open_images
from benchmarks.run.released import open_released
from benchmarks.suite.released import Example, Released
from sid.fault import Fault
from sid.prompts import cache_prompts
from sid.sampling import to_uint8

# Decibels from which two pictures count as one. This project's choice: half precision and another card's kernels move
# pixels by a level or two (above 40), and pictures of unrelated noise lie near 10.
SAME = 30.0


@dataclass(frozen=True)
class PictureMatch:
    """A published picture and ours from its seed and prompt."""

    name: str
    seed: int
    largest: int  # difference of a pixel, of 255 levels
    mean: float
    psnr: float  # decibels; infinite for equal pictures
    nearest_other: float  # the highest psnr of ours against another published picture; -inf if there is none

    @property
    def same(self) -> bool:
        """Whether it is that picture: near enough, and nearer than any other."""
        return self.psnr >= SAME and self.psnr > self.nearest_other


def compare(
    described: Released,
    example: Example,
    code: Path,
    places: Mapping[str, Path],
    state: Path,
    device: str,
) -> list[PictureMatch]:
    """Every picture of an example against ours.

    Args:
        described: the generator's description.
        example: which of its pictures.
        code: a checkout of the publishers' code, which holds pictures and prompts.
        places: repository -> a folder that stands for it; others are looked up in the cache.
        state: where imported weights and embedded prompts are written.
        device: where noise is drawn and images are made. The publishers drew on a GPU, whose noise a CPU cannot draw.
    """
    published = _pictures(code / example.images, len(example.seeds))
    prompts = _prompts(code / example.prompts, len(example.seeds))
    ours = _made(described, prompts, example.seeds, places, state, device)
    names = [name for name, _ in published]
    pictures = [pixels for _, pixels in published]
    matches = []
    for index, (name, seed) in enumerate(zip(names, example.seeds, strict=True)):
        if ours[index].shape != pictures[index].shape:
            sizes = " and ".join("x".join(map(str, pixels.shape[1:])) for pixels in (pictures[index], ours[index]))
            raise Fault(f"{name} and ours have {sizes} pixels")
        difference = np.abs(ours[index].astype(int) - pictures[index].astype(int))
        others = [psnr(ours[index], other) for place, other in enumerate(pictures) if place != index]
        fit = psnr(ours[index], pictures[index])
        nearest = max(others, default=-math.inf)
        matches.append(PictureMatch(name, seed, int(difference.max()), float(difference.mean()), fit, nearest))
    return matches


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal to noise in decibels; minus infinity for pictures of different sizes."""
    if first.shape != second.shape:
        return -math.inf
    error = float(np.mean((first.astype(float) - second.astype(float)) ** 2))
    return 10 * math.log10(255**2 / error) if error else math.inf


def _pictures(folder: Path, count: int) -> list[tuple[str, np.ndarray]]:
    images = open_images(folder)
    if len(images) != count:
        raise Fault(f"{folder} holds {len(images)} pictures, and its description names {count} seeds")
    return [(name, decode(images.content(index), name)[0]) for index, name in enumerate(images.names)]


def _prompts(file: Path, count: int) -> list[str]:
    """The lines that are not empty."""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"{file} can't be read: {error}") from None
    if len(lines) < count:
        raise Fault(f"{file} has {len(lines)} prompts, and its description names {count} seeds")
    return lines[:count]


@torch.no_grad()
def _made(
    described: Released,
    prompts: Sequence[str],
    seeds: Sequence[int],
    places: Mapping[str, Path],
    state: Path,
    device: str,
) -> list[np.ndarray]:
    """Ours, one at a time: the noise of each from a generator of its own, as the publishers draw it."""
    opened = open_released(described, places, state / "imports")
    if opened.source is None:
        raise Fault(f"{described.name} reads no text, and its description names no pictures of classes")
    family, source = opened.family, opened.source
    time_ids = family.time_ids(described.resolution, described.resolution)  # type: ignore[attr-defined]
    encoder = family.text_encoder(source, described.tokens).to(device)  # type: ignore[attr-defined]
    cache = cache_prompts(encoder, prompts, state / "prompts", "float32", time_ids)
    decoder = family.decoder(source).to(device)  # type: ignore[attr-defined]
    shape = decoder.sample_shape(described.resolution)
    generator = opened.generator.float().to(device)
    made = []
    for index, seed in enumerate(seeds):
        random = torch.Generator(device).manual_seed(seed)
        count = generator.noises_needed(None)
        noises = [torch.randn(1, *shape, generator=random, device=device) for _ in range(count)]
        latents = generator(noises, cache.condition([index]).to(noises[0]))
        made.append(to_uint8(decoder(latents))[0].cpu().numpy())
    return made

"""One batch of images: to the device, through a network, and which side of a pass waits for the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sid.fault import Fault

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.features.base import Extractor


@dataclass
class Waiting:
    """Seconds of a pass in which one side waited for the other."""

    networks: float = 0.0  # waited for decoded images
    decoders: float = 0.0  # could have waited: the networks computed

    def __add__(self, other: Waiting) -> Waiting:
        return Waiting(self.networks + other.networks, self.decoders + other.decoders)

    @property
    def sentence(self) -> str:
        """Which side holds the pass up, and for which share of its time; empty without a pass."""
        whole = self.networks + self.decoders
        if not whole:
            return ""
        side, share = ("decode", self.networks) if self.networks > self.decoders else ("network", self.decoders)
        return f"{side}-bound: {share / whole:.0%} of {whole:.1f} s"


def device_of(extractor: Extractor) -> str:
    """Where its images go at once; those of a network that moves them itself stay."""
    device = str(getattr(extractor, "device", "cpu"))
    return device if device.startswith("cuda") else "cpu"


Groups = list[tuple[list[int], "Tensor"]]  # places in the batch of images of one size, and the images


def uploaded(batches: Iterator[tuple[slice, list[np.ndarray]]], device: str) -> Iterator[tuple[slice, Groups]]:
    """Batches by the images' size, on the device; on a GPU the next one is copied while the networks compute."""
    waiting: deque[tuple[slice, Groups]] = deque()
    for indices, pixels in batches:
        waiting.append((indices, _grouped(pixels, device)))
        if device == "cpu" or len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting


def _grouped(pixels: Sequence[np.ndarray], device: str) -> Groups:
    """Images of one size in one tensor; a GPU copies it from pinned memory, which nothing waits for."""
    import torch

    groups: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(pixels):
        groups.setdefault(image.shape, []).append(index)
    made = []
    for members in groups.values():
        images = torch.from_numpy(np.stack([pixels[index] for index in members]))
        made.append((members, images if device == "cpu" else images.pin_memory().to(device, non_blocking=True)))
    return made


def features_of_batch(
    extractor: Extractor, groups: Groups, outputs: Collection[str], captions: Sequence[str] | None
) -> dict[str, np.ndarray]:
    """Images of one size are resized together; then the network gets the whole batch, or halves where memory ends."""
    import torch

    with torch.inference_mode():
        parts = [extractor.prepare(images) for _, images in groups]
        if len({part.shape[1:] for part in parts}) > 1:
            raise Fault(f"{extractor.name} reads images of one size, these are of several: give the protocol a side")
        prepared = torch.cat(parts) if len(parts) > 1 else parts[0]
        places = [index for members, _ in groups for index in members]
        paired = [captions[index] for index in places] if extractor.pairs and captions is not None else None
        features = _extracted(extractor, prepared, outputs, paired)
    if places == sorted(places):
        return features
    order = np.argsort(places)
    return {output: array[order] for output, array in features.items()}


def _extracted(
    extractor: Extractor, prepared: Tensor, outputs: Collection[str], captions: list[str] | None
) -> dict[str, np.ndarray]:
    import torch

    try:
        if captions is not None:
            return extractor.extract_pairs(prepared, captions, outputs)
        return extractor.extract(prepared, outputs)
    except torch.OutOfMemoryError:
        if len(prepared) == 1:
            raise
    half = len(prepared) // 2
    halves = [
        _extracted(extractor, prepared[part], outputs, captions[part] if captions is not None else None)
        for part in (slice(None, half), slice(half, None))
    ]
    return {output: np.concatenate([part[output] for part in halves]) for output in halves[0]}

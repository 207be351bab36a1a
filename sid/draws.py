"""All random numbers of an update, keyed by (seed, iteration, player, stream, global sample index).

Numbers are drawn on the CPU for blocks of the GLOBAL batch, and each process keeps its slice: noise, times and
conditions depend neither on the number of processes nor on the split into micro-batches. Philox with a 128-bit key
never repeats itself over the 10^7 to 10^8 blocks of a long run, where a 32-bit seed would.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sid.laws import TimeLaw

BLOCK = 64  # samples that share a key; of a block a process draws no more than it needs


def key(*parts: object) -> int:
    """A 128-bit hash of all parts."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def sent(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on a device. To a GPU through pinned memory: a plain copy waits for all work before it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.to(dtype or tensor.dtype).pin_memory().to(device, non_blocking=True)
    return tensor.to(device, dtype)


@cache
def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Constants as one cached tensor a device: a new one each time would wait for the device's work."""
    return torch.tensor(values, device=device, dtype=dtype)


class _Block:
    """The numbers of one block, drawn as far as they were asked for: a longer draw begins with the shorter one's.

    A block of large samples takes long, and a batch may need one sample of it.
    """

    def __init__(self, kind: str, seed: int, shape: tuple[int, ...]):
        self.kind, self.random, self.drawn = kind, np.random.Generator(np.random.Philox(key=seed)), 0
        self.numbers = np.empty((BLOCK, *shape), np.float32 if kind == "normal" else np.float64)

    def rows(self, count: int) -> np.ndarray:
        """The first `count` samples."""
        if count > self.drawn:
            more = self.numbers[self.drawn : count]
            if self.kind == "normal":
                self.random.standard_normal(dtype=np.float32, out=more)
            else:
                self.random.random(out=more)
            self.drawn = count
        return self.numbers[:count]


class Draws:
    """The draws of the samples `indices` (global indices within the iteration's batch)."""

    def __init__(self, seed: int, iteration: int, indices: range, player: str = "", blocks: dict | None = None):
        self.seed, self.iteration, self.indices, self.player = seed, iteration, indices, player
        # The last block of each stream: micro-batches smaller than a block share it.
        self._blocks: dict[tuple, _Block] = {} if blocks is None else blocks

    def of(self, player: str) -> Draws:
        """The draws of the same samples for another player."""
        return Draws(self.seed, self.iteration, self.indices, player, self._blocks)

    def _block(self, kind: str, stream: str, block: int, shape: tuple[int, ...]) -> _Block:
        place = (kind, self.player, stream, shape, block)
        if place not in self._blocks:
            for old in [old for old in self._blocks if old[:4] == place[:4]]:
                del self._blocks[old]
            self._blocks[place] = _Block(kind, key(self.seed, self.iteration, self.player, stream, block), shape)
        return self._blocks[place]

    def _gather(self, kind: str, stream: str, shape: tuple[int, ...]) -> Tensor:
        first, last = self.indices.start, self.indices.stop
        parts = []
        for block in range(first // BLOCK, (last - 1) // BLOCK + 1):
            rows = self._block(kind, stream, block, shape).rows(min(last - block * BLOCK, BLOCK))
            parts.append(rows[max(first - block * BLOCK, 0) :])
        return torch.from_numpy(np.concatenate(parts) if len(parts) > 1 else parts[0].copy())

    def normal(self, stream: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Unit normal noise [B, *shape] with the device and dtype of `like`."""
        return sent(self._gather("normal", stream, tuple(shape)), like.device, like.dtype)

    def uniform(self, stream: str) -> Tensor:
        """One number per sample in (0, 1), float64; never 0, so that every inverse law is finite."""
        return self._gather("uniform", stream, ()).clamp_min(2.0**-54)

    def time(self, stream: str, law: TimeLaw, like: Tensor) -> Tensor:
        """One time per sample; floating times in the dtype of `like`, in float32 at least."""
        t = law.quantile(self.uniform(stream))
        dtype = torch.promote_types(like.dtype, torch.float32) if t.is_floating_point() else t.dtype
        return sent(t, like.device, dtype)

    def integer(self, stream: str, low: int, high: int) -> int:
        """One number of {low, ..., high} per ITERATION: shared by ranks, rounds and players."""
        random = np.random.Generator(np.random.Philox(key=key(self.seed, self.iteration, "shared", stream)))
        return int(random.integers(low, high + 1))

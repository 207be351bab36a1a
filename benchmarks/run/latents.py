"""Latents of real images, encoded once: a cache on disk that training maps into memory, as that of the prompts.

A cache is named by what decides its content: the autoencoder, the images, the crop and side, and the rows' type.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from benchmarks.images.geometry import Geometry
from benchmarks.images.reading import Images, decode
from sid import atomic
from sid.condition import Condition
from sid.draws import Draws
from sid.fault import Fault
from sid.prompts import DTYPES, PromptCache

if TYPE_CHECKING:
    from tqdm import tqdm


VERSION = 1
SHARD = 1024  # latents in one file: what a killed run loses at most


class Encoder(Protocol):
    """What encodes pictures; `sid.teachers.latent.decoder.Decoder` is one."""

    def encode(self, images: Tensor) -> Tensor: ...


class LatentCache:
    """Encoded images. Rows are mapped from the files."""

    def __init__(self, folder: Path):
        from safetensors.torch import load_file

        self.folder = Path(folder)
        try:
            self.facts: dict[str, Any] = json.loads((self.folder / "latents.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise Fault(f"{folder} is no cache of latents: it has no readable latents.json") from None
        self._shards = [load_file(self.folder / name)["latents"] for name in self.facts["shards"]]

    def __len__(self) -> int:
        return int(self.facts["count"])

    def latents(self, chosen: Sequence[int]) -> Tensor:
        """The images at these positions, in float32."""
        places = [divmod(position, SHARD) for position in chosen]
        return torch.stack([self._shards[shard][row] for shard, row in places]).float()


class EncodedPairs:
    """Real latents with their captions' embeddings, drawn together with replacement: the trainer's `real`."""

    def __init__(self, latents: LatentCache, prompts: PromptCache):
        if len(latents) != len(prompts):
            raise Fault(f"{len(latents):,} latents but {len(prompts):,} captions: they must pair up")
        self.latents, self.prompts = latents, prompts

    def __call__(self, draws: Draws) -> tuple[Tensor, Condition]:
        chosen = (draws.uniform("real") * len(self.latents)).long().tolist()
        return self.latents.latents(chosen), self.prompts.condition(chosen)


def cache_latents(
    encoder: Encoder,
    identity: str,
    images: Images,
    side: int,
    root: Path,
    dtype: str = "float16",
    batch: int = 8,
    progress: tqdm | None = None,
) -> LatentCache:
    """The cache of these images under `root`, encoding only what is not there yet. `identity` is the autoencoder's."""
    decided = json.dumps([VERSION, identity, images.digest, Geometry("centre", side).identity, dtype])
    folder = Path(root) / hashlib.sha256(decided.encode()).hexdigest()[:12]
    return write_latents(folder, encoder, identity, images, side, dtype, batch, progress)


def write_latents(
    folder: Path,
    encoder: Encoder,
    identity: str,
    images: Images,
    side: int,
    dtype: str = "float16",
    batch: int = 8,
    progress: tqdm | None = None,
) -> LatentCache:
    """The cache in this very folder."""
    if dtype not in DTYPES:
        raise Fault(f"latents can't be kept as '{dtype}' (expected {', '.join(DTYPES)})")
    geometry = Geometry("centre", side)
    if (folder / "latents.json").is_file():
        return LatentCache(folder)
    shards = []
    for number, first in enumerate(range(0, len(images), SHARD)):
        name = f"latents-{number:05d}.safetensors"
        shards.append(name)
        rows = range(first, min(first + SHARD, len(images)))
        if not (folder / name).is_file():
            _write(folder / name, _encoded(encoder, images, rows, geometry, dtype, batch))
        if progress is not None:
            progress.update(len(rows))
    described = {
        "version": VERSION,
        "autoencoder": identity,
        "images": images.digest,
        "geometry": geometry.identity,
        "dtype": dtype,
        "count": len(images),
        "shards": shards,
    }
    # Written last: a reader that finds the description finds the rows.
    atomic.write_json(folder / "latents.json", described)
    return LatentCache(folder)


def _encoded(encoder: Encoder, images: Images, rows: range, geometry: Geometry, dtype: str, batch: int) -> Tensor:
    parts = []
    for first in range(rows.start, rows.stop, batch):
        chosen = range(first, min(first + batch, rows.stop))
        pixels = [torch.from_numpy(geometry(decode(images.read(row), images.names[row])[0])) for row in chosen]
        parts.append(encoder.encode(torch.stack(pixels).float() / 127.5 - 1).cpu())
    kept = torch.cat(parts).to(getattr(torch, dtype))
    if not torch.isfinite(kept).all():
        raise Fault(
            f"the latents of {images.source} do not fit {dtype} (expected finite numbers): keep them as bfloat16"
        )
    return kept


def _write(file: Path, latents: Tensor) -> None:
    from safetensors.torch import save

    atomic.write_bytes(file, save({"latents": latents.contiguous()}))

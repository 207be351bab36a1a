"""Latents of real images, encoded once: a cache on disk that training maps into memory, like that of the prompts."""

from __future__ import annotations

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
SHARD = 1024  # latents in one file: the most that a killed run encodes again


class Encoder(Protocol):
    """Encodes images; `sid.teachers.latent.decoder.Decoder` is one."""

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
        rows = [divmod(position, SHARD) for position in chosen]
        return torch.stack([self._shards[shard][row] for shard, row in rows]).float()


class EncodedPairs:
    """Real latents with their captions' embeddings, drawn together with replacement: the trainer's `real`."""

    def __init__(self, latents: LatentCache, prompts: PromptCache):
        if len(latents) != len(prompts):
            raise Fault(f"{len(latents):,} latents but {len(prompts):,} captions: they must pair up")
        self.latents, self.prompts = latents, prompts

    def __call__(self, draws: Draws) -> tuple[Tensor, Condition]:
        chosen = (draws.uniform("real") * len(self.latents)).long().tolist()
        return self.latents.latents(chosen), self.prompts.condition(chosen)


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
    """The cache in the folder, encoding only what is not there yet.

    Args:
        folder: of the cache.
        encoder: of the autoencoder.
        identity: the autoencoder's name, for the description.
        images: what is encoded, after a centre crop.
        side: of the images, in pixels.
        dtype: of the stored latents.
        batch: images at a time.
        progress: counts images.
    """
    if dtype not in DTYPES:
        raise Fault(f"latents can't be stored as '{dtype}' (expected {', '.join(DTYPES)})")
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
    # Written last: a cache with a description is complete.
    atomic.write_json(folder / "latents.json", described)
    return LatentCache(folder)


def _encoded(encoder: Encoder, images: Images, rows: range, geometry: Geometry, dtype: str, batch: int) -> Tensor:
    parts = []
    for first in range(rows.start, rows.stop, batch):
        chosen = range(first, min(first + batch, rows.stop))
        pixels = [torch.from_numpy(geometry(decode(images.read(row), images.names[row])[0])) for row in chosen]
        parts.append(encoder.encode(torch.stack(pixels).float() / 127.5 - 1).cpu())
    latents = torch.cat(parts).to(getattr(torch, dtype))
    if not torch.isfinite(latents).all():
        raise Fault(
            f"the latents of {images.source} do not fit {dtype} (expected finite numbers): store them as bfloat16"
        )
    return latents


def _write(file: Path, latents: Tensor) -> None:
    from safetensors.torch import save

    atomic.write_bytes(file, save({"latents": latents.contiguous()}))

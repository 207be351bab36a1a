"""Prompt embeddings, encoded once: training maps a cache on disk into memory, and no step runs a text encoder.

A cache's name is a digest of what decides its content: the encoder, the captions, the dtype and the image size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from sid import atomic
from sid.condition import Condition
from sid.draws import Draws
from sid.fault import Fault, report

VERSION = 1
SHARD = 1024  # captions in one file, the most that a killed run loses
DTYPES = ("float16", "bfloat16", "float32")


class PromptEncoder(Protocol):
    """An encoder of prompts, such as `sid.teachers.latent.text.TextEncoder`."""

    digest: str  # of its weights and vocabulary
    calls: int

    def encode(self, prompts: Sequence[str]) -> dict[str, Tensor]: ...
    def null(self) -> dict[str, Tensor]: ...
    def over_long(self, prompts: Sequence[str]) -> list[int]: ...


def caption_key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:16]


class PromptCache:
    """An encoded list of prompts, mapped from its files. `len` counts the prompts, repetitions included."""

    def __init__(self, folder: Path):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        self.folder = Path(folder)
        try:
            self.facts: dict[str, Any] = json.loads((self.folder / "prompts.json").read_text(encoding="utf-8"))
            self.rows: list[int] = self.facts["rows"]
        except (OSError, ValueError, TypeError, KeyError):
            raise Fault(f"{folder} is no cache of prompt embeddings: it has no readable prompts.json") from None
        try:
            # load_file maps the file: only rows that are drawn are read.
            self._shards = [load_file(self.folder / name) for name in self.facts["shards"]]
            self._null = load_file(self.folder / "null.safetensors")
        except (OSError, SafetensorError) as error:
            raise Fault(f"{folder} is damaged ({error}); remove it, and the prompts are encoded again") from None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def over_long(self) -> int:
        """How many prompts an encoder cut off."""
        return int(self.facts["over_long"])

    def null(self) -> Condition:
        parts: dict[str, Any] = {name: part.float() for name, part in self._null.items()}
        return Condition(**parts)

    def positions(self, captions: Sequence[str]) -> list[int]:
        """The position of each of these captions; a Fault for one that is not in the list."""
        places = {self.facts["captions"][row]: place for place, row in reversed(list(enumerate(self.rows)))}
        lacking = [caption for caption in captions if caption_key(caption) not in places]
        if lacking:
            raise Fault(
                f"{len(lacking)} captions are not among the prompts of {self.folder}, the first is: {lacking[0]}"
            )
        return [places[caption_key(caption)] for caption in captions]

    def condition(self, chosen: Sequence[int]) -> Condition:
        """The prompts at these positions, with the model's null condition."""
        places = [divmod(self.rows[position], SHARD) for position in chosen]
        parts: dict[str, Any] = {
            name: torch.stack([self._shards[shard][name][row] for shard, row in places]).float()
            for name in self._shards[0]
        }
        time_ids = self.facts["time_ids"]
        if time_ids is not None:
            parts["time_ids"] = torch.tensor([time_ids], dtype=torch.float32).expand(len(chosen), -1)
        return Condition(**parts, null=self.null())


class PromptConditions:
    """A cache as conditions: each sample's prompt is drawn uniformly, or is that of its index."""

    def __init__(self, cache: PromptCache, order: str = "uniform"):
        if order not in ("uniform", "index"):
            raise Fault(f"unknown order of prompts '{order}': uniform or index")
        self.cache, self.order = cache, order

    def draw(self, draws: Draws) -> Condition:
        return self.cache.condition(self.positions(draws))

    def positions(self, draws: Draws) -> list[int]:
        """The positions of the samples' prompts."""
        if self.order == "index":
            return [index % len(self.cache) for index in draws.indices]
        return (draws.uniform("prompt") * len(self.cache)).long().tolist()


def cache_prompts(
    encoder: PromptEncoder,
    prompts: Sequence[str],
    root: Path,
    dtype: str = "float16",
    time_ids: Sequence[int] | None = None,
    batch: int = 32,
) -> PromptCache:
    """The cache of these prompts under `root`, in a folder named by its content's digest. Args as of `write_cache`."""
    # What the rows depend on; the prompts' order and repetitions are part of it.
    ids = None if time_ids is None else list(time_ids)
    decided = json.dumps([VERSION, encoder.digest, dtype, ids, [caption_key(prompt) for prompt in prompts]])
    folder = Path(root) / hashlib.sha256(decided.encode()).hexdigest()[:12]
    return write_cache(folder, encoder, prompts, dtype, time_ids, batch)


def write_cache(
    folder: Path,
    encoder: PromptEncoder,
    prompts: Sequence[str],
    dtype: str = "float16",
    time_ids: Sequence[int] | None = None,
    batch: int = 32,
) -> PromptCache:
    """The cache in `folder`; only missing shards are encoded, and equal captions once.

    Args:
        folder: Of the cache itself.
        encoder: Encodes the captions.
        prompts: The list; order and repetitions are kept.
        dtype: In which rows are stored, one of DTYPES.
        time_ids: SDXL's micro-conditioning, for families that read one.
        batch: Captions encoded at once.
    """
    if not prompts:
        raise Fault("the list of prompts is empty (expected at least one prompt)")
    if dtype not in DTYPES:
        raise Fault(f"prompt embeddings can't be kept as '{dtype}' (expected {', '.join(DTYPES)})")
    if (folder / "prompts.json").is_file():
        return PromptCache(folder)
    captions = list(dict.fromkeys(prompts))
    row_of = {caption: row for row, caption in enumerate(captions)}
    long = encoder.over_long(captions)
    shards = []
    for number, first in enumerate(range(0, len(captions), SHARD)):
        # The encoder's digest is in the name: rows of another encoder are not taken for these.
        name = f"rows-{number:05d}-{encoder.digest[:8]}.safetensors"
        shards.append(name)
        if not (folder / name).is_file():
            _write(folder / name, _encoded(encoder, captions[first : first + SHARD], dtype, batch))
    _write(folder / "null.safetensors", {name: part[0].unsqueeze(0) for name, part in encoder.null().items()})
    cut = sum(row_of[prompt] in set(long) for prompt in prompts) if long else 0
    described = {
        "version": VERSION,
        "encoder": encoder.digest,
        "dtype": dtype,
        "time_ids": None if time_ids is None else list(time_ids),
        "captions": [caption_key(caption) for caption in captions],
        "rows": [row_of[prompt] for prompt in prompts],
        "shards": shards,
        "over_long": cut,
    }
    # Written last: where the description is, the rows are too.
    atomic.write_json(folder / "prompts.json", described)
    if long:
        report(
            f"{cut} of {len(prompts)} prompts are longer than a text encoder reads and were cut off, "
            f"the first is: {captions[long[0]][:60]}..."
        )
    return PromptCache(folder)


def _encoded(encoder: PromptEncoder, captions: Sequence[str], dtype: str, batch: int) -> dict[str, Tensor]:
    parts = [encoder.encode(captions[first : first + batch]) for first in range(0, len(captions), batch)]
    rows = {}
    for name in parts[0]:
        rows[name] = torch.cat([part[name] for part in parts]).to(getattr(torch, dtype))
        if not torch.isfinite(rows[name]).all():
            raise Fault(f"the {name} embeddings do not fit {dtype} (expected finite numbers): keep them as bfloat16")
    return rows


def _write(file: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    atomic.write_bytes(file, save({name: part.contiguous() for name, part in tensors.items()}))


ALPHABET_SEED = 0


class WordEncoder:
    """Prompts to [B, tokens, width]: the row of each word plus the row of its place, all orthogonal.

    The transformer's projection and cross-attention learn the rest. The null prompt is the empty one: places alone.

    Args:
        vocabulary: The words that prompts may have.
        tokens: The most words of a prompt.
        width: Of a row.
        pooled: Gives the mean of a prompt's rows too, for networks that read a pooled embedding beside the text.
    """

    def __init__(self, vocabulary: Sequence[str], tokens: int = 6, width: int = 32, pooled: bool = False):
        if len(vocabulary) + tokens > width:
            raise Fault(
                f"{len(vocabulary)} words and {tokens} places need embeddings of width {len(vocabulary) + tokens} "
                f"at least (got {width})"
            )
        self.vocabulary, self.tokens, self.width, self.pooled = tuple(vocabulary), tokens, width, pooled
        random = torch.Generator().manual_seed(ALPHABET_SEED)
        rows = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=random))[0]
        rows = rows.float() * width**0.5  # unit variance per entry
        self.word = dict(zip(self.vocabulary, rows, strict=False))
        self.place = rows[len(vocabulary) : len(vocabulary) + tokens]
        self.calls = 0

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments it was made with; caches made before `pooled` came keep their names."""
        stated = {"vocabulary": list(self.vocabulary), "tokens": self.tokens, "width": self.width}
        return stated | ({"pooled": True} if self.pooled else {})

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps([self.settings, ALPHABET_SEED]).encode()).hexdigest()

    def encode(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """One row per prompt."""
        self.calls += 1
        text = self.place.repeat(len(prompts), 1, 1)
        for row, prompt in enumerate(prompts):
            for place, word in enumerate(prompt.split()[: self.tokens]):
                if word not in self.word:
                    raise Fault(f"'{word}' in the prompt '{prompt}' is none of: {', '.join(self.vocabulary)}")
                text[row, place] += self.word[word]
        return {"text": text} | ({"pooled": text.mean(dim=1)} if self.pooled else {})

    def null(self) -> dict[str, Tensor]:
        return self.encode([""])

    def over_long(self, prompts: Sequence[str]) -> list[int]:
        """The positions of prompts with more words than `tokens`."""
        return [place for place, prompt in enumerate(prompts) if len(prompt.split()) > self.tokens]

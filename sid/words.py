"""The miniature's text encoder: one fixed vector per word and place of a small vocabulary. Nothing in it is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sid.fault import Fault

ALPHABET_SEED = 0


class WordEncoder:
    """Prompts to [B, tokens, width]: the row of each word plus the row of its place, all orthogonal.

    The transformer's own projection and cross-attention do the rest. The null prompt is the empty one: places alone.
    """

    def __init__(self, vocabulary: Sequence[str], tokens: int = 6, width: int = 32):
        if len(vocabulary) + tokens > width:
            raise Fault(
                f"{len(vocabulary)} words and {tokens} places need embeddings of width {len(vocabulary) + tokens} "
                f"at least (got {width})"
            )
        self.vocabulary, self.tokens, self.width = tuple(vocabulary), tokens, width
        random = torch.Generator().manual_seed(ALPHABET_SEED)
        rows = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64, generator=random))[0]
        rows = rows.float() * width**0.5  # unit variance per entry
        self.word = dict(zip(self.vocabulary, rows, strict=False))
        self.place = rows[len(vocabulary) : len(vocabulary) + tokens]
        self.calls = 0

    @property
    def settings(self) -> dict[str, Any]:
        """What it is made from."""
        return {"vocabulary": list(self.vocabulary), "tokens": self.tokens, "width": self.width}

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
        return {"text": text}

    def null(self) -> dict[str, Tensor]:
        return self.encode([""])

    def over_long(self, prompts: Sequence[str]) -> list[int]:
        """The positions of prompts with more words than are read."""
        return [place for place, prompt in enumerate(prompts) if len(prompt.split()) > self.tokens]

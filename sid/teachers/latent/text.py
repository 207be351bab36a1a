"""A pipeline's text encoders, run by the pipeline's own `encode_prompt`, so that embeddings are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sid.fault import Fault
from sid.teachers.latent import folder as folders
from sid.teachers.latent.loading import first_line

if TYPE_CHECKING:
    from sid.teachers.latent.family import LatentTeacher

Encoded = dict[str, Tensor]  # text [B, tokens, width], and mask [B, tokens] and pooled [B, width] where there are


class TextEncoder:
    """Prompts to embeddings. `calls` counts the batches encoded."""

    def __init__(self, family: LatentTeacher, folder: Path, pipeline: Any, digest: str, tokens: int | None):
        self.family, self.folder, self.pipeline, self.digest = family, folder, pipeline, digest
        self.tokens, self.calls = tokens, 0

    def to(self, device: torch.device | str) -> TextEncoder:
        self.pipeline.to(device)
        return self

    def encode(self, prompts: Sequence[str]) -> Encoded:
        """One row per prompt, in float32 on the CPU."""
        return self._encode(list(prompts))

    def null(self) -> Encoded:
        """The model's null condition: the empty prompt encoded, or zeros."""
        empty = self._encode([""], null=True)
        return {name: torch.zeros_like(part) for name, part in empty.items()} if self._zeros() else empty

    def over_long(self, prompts: Sequence[str]) -> list[int]:
        """The positions of prompts that at least one encoder truncates."""
        cut: set[int] = set()
        for name, limit in self._limits().items():
            tokenizer = getattr(self.pipeline, name)
            lengths = [len(ids) for ids in tokenizer(list(prompts), truncation=False, verbose=False).input_ids]
            cut |= {place for place, length in enumerate(lengths) if length > limit}
        return sorted(cut)

    def _zeros(self) -> bool:
        return self.family.null_rule == "zeros" and getattr(self.pipeline.config, "force_zeros_for_empty_prompt", True)

    def _limits(self) -> dict[str, int]:
        """The token limit of each tokenizer: the pipeline's where it sets one, else its encoder's."""
        limits = {}
        for tokenizer, encoder in self.family.encoders:
            if getattr(self.pipeline, encoder, None) is not None:
                longest = self.family.longest(tokenizer, self.tokens)
                limits[tokenizer] = longest or int(getattr(self.pipeline, encoder).config.max_position_embeddings)
        return limits

    @torch.no_grad()
    def _encode(self, prompts: list[str], null: bool = False) -> Encoded:
        self.calls += 1
        device = self.pipeline.text_encoder.device
        options: dict[str, Any] = {"device": device, "num_images_per_prompt": 1}
        encoded = self.family.embed(self.pipeline, prompts, self.tokens, options, null)
        return {name: part.cpu() for name, part in encoded.items()}


def open_encoder(family: LatentTeacher, folder: Path, tokens: int | None) -> TextEncoder:
    """The encoders of a pipeline folder, checked against each other and against the network."""
    import diffusers

    index = folders.check_index(folder, family.name, family.pipelines)
    left_out = [encoder for encoder in family.optional if not _present(index, encoder)]
    parts: list[str] = []
    for tokenizer, encoder in family.encoders:
        if encoder not in left_out:
            folders.check_component(folder, tokenizer, "a tokenizer", weights=False)
            folders.stored_dtypes(folders.weight_files(folders.check_component(folder, encoder, "a text encoder")))
            parts += [tokenizer, encoder]
    for part in parts:
        _check_library(folder, part, index)
    unused = [name for name, value in index.items() if isinstance(value, list) and name not in parts]
    variant = folders.variant_of(folders.weight_files(folder / "text_encoder"))
    try:
        pipeline = getattr(diffusers, family.pipelines[0]).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            variant=variant,
            **dict.fromkeys(unused),
        )
    except Exception as error:
        raise Fault(f"the text encoders of {folder} can't be opened: {first_line(error)}") from None
    pipeline.to(torch.float32)
    if "text_encoder_3" in left_out:
        # For the missing T5's embeddings the pipeline puts zeros, whose width it reads from the network's config here.
        width = folders.read_json(folder / family.part / "config.json")["joint_attention_dim"]
        object.__setattr__(pipeline, family.part, SimpleNamespace(config=SimpleNamespace(joint_attention_dim=width)))
    for tokenizer, encoder in family.encoders:
        if encoder not in left_out:
            config, cut = getattr(pipeline, encoder).config, family.longest(tokenizer, tokens) is not None
            _check_tokenizer(folder, tokenizer, getattr(pipeline, tokenizer), config, cut)
            getattr(pipeline, encoder).eval().requires_grad_(False)
    _check_width(family, folder, pipeline)
    rules = [family.null_rule, tokens, index.get("force_zeros_for_empty_prompt")]
    return TextEncoder(family, folder, pipeline, _digest(folder, parts, rules), tokens)


def _present(index: dict[str, Any], part: str) -> bool:
    named = index.get(part)
    return isinstance(named, list) and len(named) == 2 and None not in named


def _check_library(folder: Path, part: str, index: dict[str, Any]) -> None:
    """A Fault where a component is no class of transformers: of another module diffusers would run the folder's own."""
    named = index.get(part)
    if not isinstance(named, list) or len(named) != 2 or named[0] != "transformers":
        raise Fault(f"{folder}: model_index.json names {named} as {part} (expected a class of transformers)")


def _check_tokenizer(folder: Path, name: str, tokenizer: Any, config: Any, cut: bool) -> None:
    """A Fault where the tokenizer is another model's: token ids, lengths or the end token do not fit the encoder.

    Prompts that the pipeline `cut`s have its length, and an end token that no encoder looks for.
    """
    largest = max(tokenizer.get_vocab().values())
    if largest >= config.vocab_size:
        raise Fault(
            f"{folder / name} does not fit its text encoder: it numbers tokens up to {largest}, "
            f"and the encoder expects fewer than {config.vocab_size}"
        )
    if cut:
        return
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and tokenizer.model_max_length > positions:
        raise Fault(
            f"{folder / name} does not fit its text encoder: it gives up to {tokenizer.model_max_length} tokens, "
            f"and the encoder expects at most {positions}"
        )
    eos = getattr(config, "eos_token_id", None)
    # 2 is in the configs of OpenAI's CLIP files, whose tokenizer ends with the last token of its vocabulary.
    if positions is not None and eos not in (None, 2, tokenizer.eos_token_id):
        raise Fault(
            f"{folder / name} does not fit its text encoder: it ends a prompt with the token {tokenizer.eos_token_id}, "
            f"and the encoder expects {eos}"
        )


def _check_width(family: LatentTeacher, folder: Path, pipeline: Any) -> None:
    """A Fault where the embeddings' width is not that of the network's input."""
    config = folders.read_json(folder / family.part / "config.json")
    key = {"unet": "cross_attention_dim", "transformer": "caption_channels"}[family.part]
    expected = config.get("joint_attention_dim", config.get(key))
    widths = {
        encoder: int(getattr(getattr(pipeline, encoder).config, "hidden_size", 0))
        for _, encoder in family.encoders
        if getattr(pipeline, encoder, None) is not None
    }
    width = family.text_width(widths)
    if isinstance(expected, int) and width not in (None, expected):
        raise Fault(
            f"the text encoders of {folder} give embeddings of width {width}, and its {family.part} expects {expected}"
        )


def _digest(folder: Path, parts: Sequence[str], rules: Sequence[object]) -> str:
    """sha256 of what embeddings depend on: every file of the tokenizers and encoders, and the rules of the null."""
    total = hashlib.sha256(repr(rules).encode())
    for part in sorted(parts):
        for file in sorted(path for path in (folder / part).rglob("*") if path.is_file()):
            total.update(f"{part}/{file.name}".encode())
            with open(file, "rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()

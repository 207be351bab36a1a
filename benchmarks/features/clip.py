"""What the CLIP extractors share; a subclass names the architecture and the weights."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import Extractor, full_precision
from benchmarks.features.inception import colour
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
CAPTIONS = 256  # embedded at a time


def published(name: str, hub: str, *files: str, licence: str = "MIT", purpose: str = "CLIP score") -> Weight:
    """A file of a Hugging Face repository."""
    return Weight(name, purpose, files, licence, f"https://huggingface.co/{hub}", hub=hub)


class ClipExtractor(Extractor):
    """Outputs raw embeddings: metrics normalise. Float32 throughout, also where the original ran in half."""

    version = 1
    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020"
    verified = "layout"
    outputs: ClassVar[tuple[str, ...]] = ("image",)
    preprocess = "short-side-bicubic-uint8-crop-224/openai-mean-std"
    architecture: ClassVar[str]  # open_clip's name
    quick_gelu: ClassVar[bool] = False  # OpenAI's weights were trained with it; without it scores shift silently
    side: ClassVar[int] = 224
    network: Any = None
    device: str = "cpu"

    def open(self, weights: Path | None, device: str = "cpu") -> ClipExtractor:
        path = locate(self.weights[0], weights)
        identity = verify(self.weights[0], path)
        network = _network(self.architecture, self.quick_gelu, device)
        try:
            network.load_state_dict(self.layout(tensors(path)))
        except RuntimeError as error:
            told = str(error).splitlines()[1].strip()[:200]
            raise Fault(f"{path} is no {self.architecture}: {told}") from error
        pin(self.weights[0], path)
        return self._opened(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> ClipExtractor:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._opened(_network(self.architecture, self.quick_gelu, device), f"random-{seed}", device)

    def layout(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The file's tensors under open_clip's names."""
        return {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}

    def _opened(self, network: Any, identity: str, device: str) -> ClipExtractor:
        opened = copy.copy(self)
        opened.network = network.eval().requires_grad_(False)
        opened.identity, opened.device = identity, device
        return opened

    def prepare(self, images: Tensor) -> Tensor:
        """Short side to 224 by antialiased bicubic, rounded to uint8 as PIL does, centre crop."""
        from torchvision.transforms.v2 import functional

        short = functional.resize(
            colour(images.to(self.device)), [self.side], functional.InterpolationMode.BICUBIC, antialias=True
        )
        return functional.center_crop(short, [self.side, self.side])

    def normalise(self, prepared: Tensor) -> Tensor:
        """uint8 to what the towers were trained on."""
        import torch

        mean, std = (torch.tensor(part, device=prepared.device).view(3, 1, 1) for part in (MEAN, STD))
        return (prepared.float() / 255 - mean) / std

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        with full_precision():
            found = self.network.encode_image(self.normalise(prepared))
        return {"image": found.float().cpu().numpy()}

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        return self.extract(self.prepare(images), self.outputs)

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        """`text` embeddings and `truncated` flags; a long caption keeps its end token, or the tower reads nothing."""
        import numpy as np

        tokens, cut = tokenise([template + caption for caption in captions])
        parts = []
        with full_precision():
            for first in range(0, len(tokens), CAPTIONS):
                batch = tokens[first : first + CAPTIONS].to(self.device)
                parts.append(self.network.encode_text(batch).float().cpu().numpy())
        return {"text": np.concatenate(parts), "truncated": cut}


def tokenise(texts: Sequence[str]) -> tuple[Tensor, np.ndarray]:
    """Token ids [N, 77] whose last one is the end token, and which texts did not fit."""
    import numpy as np

    tokenizer = _tokenizer()
    tokens = tokenizer(list(texts))
    fits = tokenizer.context_length - 2  # start and end
    return tokens, np.array([len(tokenizer.encode(text)) > fits for text in texts])


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    """The byte-pair vocabulary that all towers here share; it ships with open_clip."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def _network(architecture: str, quick_gelu: bool, device: str) -> Any:
    """Without weights; open_clip warns of that on the root logger, though they are loaded or made right after."""
    import logging

    import open_clip

    def other(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    logging.getLogger().addFilter(other)
    try:
        return open_clip.create_model(architecture, load_weights=False, force_quick_gelu=quick_gelu, device=device)
    finally:
        logging.getLogger().removeFilter(other)


class ClipVitB32(ClipExtractor):
    """OpenAI's weights with the QuickGELU they were trained with."""

    name = "clip-vit-b-32"
    version = 1
    architecture = "ViT-B-32"
    quick_gelu = True
    weights = (published("clip-vit-b-32", "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"),)


class ClipVitG14(ClipExtractor):
    """Not bigG: the flag `ViT-G/14` of those protocols means this one."""

    name = "clip-vit-g-14"
    version = 1
    architecture = "ViT-g-14"
    weights = (
        published(
            "clip-vit-g-14",
            "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
            "open_clip_model.safetensors",
            "open_clip_pytorch_model.bin",
        ),
    )


class ClipVitH14(ClipExtractor):
    """The tower that HPSv2 and PickScore were fine-tuned from."""

    name = "clip-vit-h-14"
    version = 1
    architecture = "ViT-H-14"
    weights = (
        published(
            "clip-vit-h-14",
            "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
            "open_clip_model.safetensors",
            "open_clip_pytorch_model.bin",
        ),
    )


class ClipVitL14(ClipExtractor):
    """OpenAI's weights with the QuickGELU they were trained with."""

    name = "clip-vit-l-14"
    version = 1
    architecture = "ViT-L-14"
    quick_gelu = True
    weights = (published("clip-vit-l-14", "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),)


class ClipVitL14At336(ClipExtractor):
    """CMMD crops to the short side and resizes to 336; the order of the two does not matter for a square."""

    name = "clip-vit-l-14-336"
    version = 1
    architecture = "ViT-L-14-336"
    preprocess = "short-side-bicubic-uint8-crop-336/openai-mean-std"
    side = 336
    quick_gelu = True
    weights = (published("clip-vit-l-14-336", "timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),)

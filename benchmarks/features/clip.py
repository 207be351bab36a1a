"""The CLIP extractors: image embeddings, and text embeddings of captions, computed by open_clip.

A new one is a subclass of `ClipExtractor` with `name`, `architecture` and `weights`; it defines `layout` if its file
names the tensors differently. Towers that were fine-tuned on human preferences are in `preference.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, standardise, three_channels
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
CAPTION_BATCH = 256


def hub_weight(name: str, hub: str, *files: str, licence: str = "MIT", purpose: str = "CLIP score") -> Weight:
    """A file of a Hugging Face repository."""
    return Weight(name, purpose, files, licence, f"https://huggingface.co/{hub}", hub=hub)


class ClipExtractor(NetworkExtractor):
    """Embeddings of any length: the metrics normalise them. Always in float32, also where the published code is not."""

    version = 1
    paper = "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020"
    verified = "layout"
    outputs: ClassVar[tuple[str, ...]] = ("image",)
    preprocess = "short-side-bicubic-uint8-crop-224/openai-mean-std"
    architecture: ClassVar[str]  # open_clip's name
    quick_gelu: ClassVar[bool] = False  # OpenAI's weights were trained with it; without it scores are silently wrong
    side: ClassVar[int] = 224

    def open(self, weights: Path | None, device: str = "cpu") -> ClipExtractor:
        path = locate(self.weights[0], weights)
        identity = verify(self.weights[0], path)
        network = self.tower(device)
        try:
            network.load_state_dict(self.layout(tensors(path)))
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()[:200]
            raise Fault(f"{path} is no {self.architecture}: {reason}") from error
        pin(self.weights[0], path)
        return self.with_network(network, identity, device)

    def random(self, seed: int, device: str = "cpu") -> ClipExtractor:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.with_network(self.tower(device), f"random-{seed}", device)

    def tower(self, device: str) -> Any:
        """The network without its weights."""
        return _network(self.architecture, self.quick_gelu, device)

    def layout(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The file's tensors under open_clip's names."""
        return {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}

    def prepare(self, images: Tensor) -> Tensor:
        """The short side to `side` pixels by antialiased bicubic, rounded to uint8 as PIL does; then a centre crop."""
        from torchvision.transforms.v2 import functional

        short = functional.resize(
            three_channels(images.to(self.device)), [self.side], functional.InterpolationMode.BICUBIC, antialias=True
        )
        return functional.center_crop(short, [self.side, self.side])

    def normalise(self, prepared: Tensor) -> Tensor:
        """uint8 to the range that the towers were trained on."""
        return standardise(prepared, MEAN, STD)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        with full_precision():
            embeddings = self.network.encode_image(self.normalise(prepared))
        return {"image": embeddings.float().cpu().numpy()}

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        """`text` embeddings and `truncated` flags; a cut caption keeps its end token, where the embedding is read."""
        import numpy as np

        tokens, truncated = tokenise([template + caption for caption in captions])
        parts = []
        with full_precision():
            for first in range(0, len(tokens), CAPTION_BATCH):
                batch = tokens[first : first + CAPTION_BATCH].to(self.device)
                parts.append(self.network.encode_text(batch).float().cpu().numpy())
        return {"text": np.concatenate(parts), "truncated": truncated}


def tokenise(texts: Sequence[str]) -> tuple[Tensor, np.ndarray]:
    """Token ids [N, 77], and which texts were cut; a cut text still ends with the end token."""
    import numpy as np

    tokenizer = _tokenizer()
    tokens = tokenizer(list(texts))
    fits = tokenizer.context_length - 2  # start and end
    return tokens, np.array([len(tokenizer.encode(text)) > fits for text in texts])


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    """The byte-pair vocabulary of all these towers; it ships with open_clip."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def _network(architecture: str, quick_gelu: bool, device: str) -> Any:
    """A network whose weights the caller loads next; hides open_clip's warning on the root logger that it has none."""
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
    weights = (hub_weight("clip-vit-b-32", "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors"),)


class ClipVitG14(ClipExtractor):
    """Not bigG. Protocols that state `ViT-G/14` mean this one."""

    name = "clip-vit-g-14"
    version = 1
    architecture = "ViT-g-14"
    weights = (
        hub_weight(
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
        hub_weight(
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
    weights = (hub_weight("clip-vit-l-14", "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),)


class ClipVitL14At336(ClipExtractor):
    """CMMD's tower. Its code crops first and resizes second, which gives the same square."""

    name = "clip-vit-l-14-336"
    version = 1
    architecture = "ViT-L-14-336"
    preprocess = "short-side-bicubic-uint8-crop-336/openai-mean-std"
    side = 336
    quick_gelu = True
    weights = (
        hub_weight("clip-vit-l-14-336", "timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),
    )

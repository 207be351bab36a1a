"""HPSv3: Qwen2-VL reads an image and a page of instructions; a small head reads the preference off one added token.

The page is a text of HPSv3's own code. It is read from that file, which nobody runs, and is not part of this project.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.assets import Weight, locate, pin, tensors, verify
from benchmarks.features.base import NetworkExtractor, full_precision, three_channels
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HUB, BACKBONE = "MizzenAI/HPSv3", "Qwen/Qwen2-VL-7B-Instruct"
WEIGHT = Weight("hpsv3", "HPSv3", ("HPSv3.safetensors",), "Apache-2.0", f"https://huggingface.co/{HUB}", hub=HUB)
CONFIG = Weight(
    "qwen2-vl-7b-config",
    "HPSv3's network",
    ("config.json",),
    "Apache-2.0",
    f"https://huggingface.co/{BACKBONE}",
    hub=BACKBONE,
)
TOKENIZER = Weight(
    "qwen2-vl-7b-tokenizer", "HPSv3's tokenizer", ("tokenizer.json",), CONFIG.licence, CONFIG.source, hub=BACKBONE
)
PAGE = Weight(
    "hpsv3-page",
    "the page that HPSv3 reads with every image",
    ("data_collator_qwen.py",),
    "MIT",
    "https://raw.githubusercontent.com/MizzenAI/HPSv3/main/hpsv3/dataset/data_collator_qwen.py",
)
TEXTS = ("INSTRUCTION", "prompt_with_special_token")  # that file's names of the page's two halves
CAPTION, REWARD, IMAGE = "{text_prompt}", "<|Reward|>", "<|image_pad|>"
# One round of a conversation in Qwen2-VL's chat_template.json.
BEFORE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
BETWEEN, AFTER = "<|vision_end|>", "<|im_end|>\n<|im_start|>assistant\n"
PIXELS, MULTIPLE = 256 * 28 * 28, 28  # of the resized image: at most so many, whole 28ths
HEAD = (0, 3, 5)  # the linear layers; the others are ReLUs and dropouts
PLACES = {  # names since transformers 4.52 and, after them, the earlier ones -> Qwen2VLModel's
    "model.visual.": "visual.",
    "model.language_model.": "language_model.",
    "visual.": "visual.",
    "model.": "language_model.",
}


class Hpsv3Net(NetworkExtractor):
    """Output: `preference`, the head's mean and sigma for an image and its prompt.

    The network computes in bfloat16 and the head in float32, and every token has the place at which it stands in the
    text, those of the image too: as HPSv3's own code does. Images of a batch have one size.
    """

    name = "hpsv3"
    version = 1
    paper = "Ma et al., HPSv3, arXiv 2508.03789"
    verified = "layout"
    outputs: ClassVar[tuple[str, ...]] = ("preference",)
    pairs = True
    preprocess = "aspect-aa-bicubic-uint8-256-tokens/openai-mean-std"
    weights: ClassVar[tuple[Weight, ...]] = (WEIGHT, CONFIG, TOKENIZER, PAGE)
    precision: ClassVar[str] = "bfloat16"
    tokenizer: Any = None
    page: str = ""

    def open(self, weights: Path | None, device: str = "cpu") -> Hpsv3Net:
        path, settings, words, page = locate(WEIGHT, weights), locate(CONFIG), locate(TOKENIZER), locate(PAGE)
        tokenizer, text = read_tokenizer(words), read_page(page)
        network = self.build(path, settings)
        rows = len(network["backbone"].get_input_embeddings().weight)
        if rows != tokenizer.get_vocab_size():
            raise Fault(f"{path} has {rows:,} words, {words} with {REWARD} {tokenizer.get_vocab_size():,}")
        opened = self.with_network(network, f"{verify(WEIGHT, path)}-{verify(PAGE, page)[:12]}", device)
        opened.tokenizer, opened.page = tokenizer, text
        for weight, file in ((WEIGHT, path), (CONFIG, settings), (TOKENIZER, words), (PAGE, page)):
            pin(weight, file)
        return opened

    def random(self, seed: int, device: str = "cpu") -> Hpsv3Net:
        raise Fault(f"{self.name} has no form with random weights")

    def build(self, path: Path, settings: Path) -> Any:
        """Qwen2-VL without its output layer, and the head, from one file under either generation of names."""
        import torch
        from transformers import Qwen2VLConfig, Qwen2VLModel

        try:
            config = Qwen2VLConfig.from_dict(json.loads(settings.read_text(encoding="utf-8")))
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise Fault(f"{settings} is no config of Qwen2-VL: {str(error)[:200]}") from error
        backbone, head = parted(tensors(path))
        if not head or "language_model.embed_tokens.weight" not in backbone:
            raise Fault(f"{path} is no HPSv3: it lacks {'the words' if head else f'rm_head.{HEAD[0]}.weight'}")
        language: Any = config.text_config
        language.vocab_size = len(backbone["language_model.embed_tokens.weight"])
        load: Any = Qwen2VLModel.from_pretrained  # with loading information it returns a pair
        try:
            made, loaded = load(
                None,
                config=config,
                state_dict=backbone,
                dtype=getattr(torch, self.precision),
                output_loading_info=True,
            )
        except RuntimeError as error:
            raise Fault(f"{path} does not fit {settings}: {str(error).splitlines()[0][:200]}") from error
        if missing := sorted(loaded["missing_keys"]):
            raise Fault(f"{path} is no HPSv3: it lacks {missing[0]}")
        return torch.nn.ModuleDict({"backbone": made, "head": _head(head)})

    def prepare(self, images: Tensor) -> Tensor:
        """To about 256 squares of 28 pixels with nearly the same aspect, rounded to uint8."""
        from torchvision.transforms.v2 import functional

        mode = functional.InterpolationMode.BICUBIC
        sides = list(sides_of(images.shape[2], images.shape[3]))
        return functional.resize(three_channels(images.to(self.device)), sides, mode, antialias=True)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        raise Fault(f"{self.name} reads images with their captions: give --captions")

    def extract_pairs(
        self, prepared: Tensor, captions: Sequence[str], outputs: Collection[str]
    ) -> dict[str, np.ndarray]:
        import torch
        from torch.nn import functional as F
        from transformers import Qwen2VLImageProcessor

        backbone = self.network["backbone"]
        processor = Qwen2VLImageProcessor(do_resize=False)
        seen = processor(images=list(prepared.cpu()), return_tensors="pt", input_data_format="channels_first")
        squares = prepared.shape[2] * prepared.shape[3] // MULTIPLE**2
        tokens, mask = self._tokens(captions, squares)
        at = tokens == self.tokenizer.token_to_id(REWARD)
        with full_precision():
            made = backbone.get_image_features(
                *(seen[key].to(self.device) for key in ("pixel_values", "image_grid_thw"))
            )
            patches = torch.cat(list(getattr(made, "pooler_output", made)))
            words = backbone.get_input_embeddings()(tokens)
            image = (tokens == self.tokenizer.token_to_id(IMAGE))[..., None]
            places = torch.arange(tokens.shape[1], device=self.device).expand(3, len(tokens), -1)
            read = backbone.language_model(
                inputs_embeds=words.masked_scatter(image, patches.to(words.dtype)),
                attention_mask=mask,
                position_ids=places,
                use_cache=False,
            ).last_hidden_state
            values = read[at].float()
            for place in HEAD:
                layer = self.network["head"][str(place)]
                values = layer(values) if place == HEAD[-1] else F.relu(layer(values))
        return {"preference": values.cpu().numpy()}

    def _tokens(self, captions: Sequence[str], squares: int) -> tuple[Tensor, Tensor]:
        """The conversation about each image as tokens, padded on the right, and which of them are no padding."""
        import torch

        for caption in captions:
            if own := next((word for word in (REWARD, IMAGE) if word in caption), None):
                raise Fault(f"{self.name}: the caption '{caption[:60]}' has {own}, a word of the network's own")
        pages = [self.page.replace(CAPTION, caption) for caption in captions]
        texts = [BEFORE + IMAGE * squares + BETWEEN + page + AFTER for page in pages]
        rows = [self.tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        longest = max(map(len, rows))
        tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=self.device)
        return tokens, mask


def sides_of(height: int, width: int) -> tuple[int, int]:
    """Height and width that HPSv3 resizes an image to: multiples of 28 with a product near 256 squares.

    Sides are rounded to multiples; where that has too many pixels, both are shrunk by one factor and rounded down,
    where it has too few, enlarged and rounded up.
    """
    sides = [max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE) for side in (height, width)]
    factor = math.sqrt(PIXELS / (height * width))
    if math.prod(sides) > PIXELS:
        sides = [max(MULTIPLE, math.floor(side * factor / MULTIPLE) * MULTIPLE) for side in (height, width)]
    elif math.prod(sides) < PIXELS:
        sides = [math.ceil(side * factor / MULTIPLE) * MULTIPLE for side in (height, width)]
    return sides[0], sides[1]


def parted(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of Qwen2-VL under transformers' present names, without its output layer, and those of the head."""
    backbone, head = {}, {}
    for name, tensor in state.items():
        if name.startswith("rm_head."):
            head[name.removeprefix("rm_head.")] = tensor
            continue
        if place := next((place for place in PLACES if name.startswith(place)), None):
            backbone[PLACES[place] + name.removeprefix(place)] = tensor
    return backbone, head


def _head(state: dict[str, Tensor]) -> Any:
    """The head's linear layers, in float32."""
    import torch

    layers = torch.nn.ModuleDict()
    for place in HEAD:
        try:
            weight, bias = (state[f"{place}.{part}"] for part in ("weight", "bias"))
            layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight.float(), "bias": bias.float()})
        except (KeyError, RuntimeError, IndexError) as error:
            raise Fault(f"HPSv3's head: layer {place} does not fit: {str(error)[:120]}") from None
        layers[str(place)] = layer
    return layers


def read_tokenizer(path: Path) -> Any:
    """Qwen2-VL's tokenizer with the added token."""
    from tokenizers import AddedToken, Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises no narrower one
        raise Fault(f"{path} is no tokenizer: {str(error)[:200]}") from None
    if tokenizer.token_to_id(IMAGE) is None:
        raise Fault(f"{path} is no tokenizer of Qwen2-VL: it lacks {IMAGE}")
    tokenizer.add_special_tokens([AddedToken(REWARD, normalized=False)])
    return tokenizer


def read_page(path: Path) -> str:
    """The page of instructions, from HPSv3's source file as data: two constants of it, and nothing is run."""
    try:
        parsed = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise Fault(f"{path} is no file of Python: {error}") from None
    constants = {
        target.id: statement.value.value
        for statement in parsed.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name) and isinstance(statement.value.value, str)
    }
    if absent := [name for name in TEXTS if name not in constants]:
        raise Fault(f"{path} has no text {' and no text '.join(absent)}")
    page = "".join(constants[name] for name in TEXTS)
    for word in (CAPTION, REWARD):
        if page.count(word) != 1:
            raise Fault(f"{path}: the page must have {word} once, it has it {page.count(word)} times")
    return page

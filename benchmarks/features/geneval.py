"""GenEval's detector and colours: what an image holds, as rows of numbers that `benchmarks.metrics.geneval` judges.

Mask2Former finds objects; each object's colour is what OpenAI's CLIP ViT-L/14 reads on its masked crop. Both look at
the image alone. A caption becomes its prompt's rule, from GenEval's own list, which is identified by its sha256.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.assets import Weight, locate, pin, verify
from benchmarks.features.base import (
    NetworkExtractor,
    full_precision,
    standardise,
    three_channels,
    transformers_network,
)
from benchmarks.features.clip import ClipVitL14
from sid.fault import Fault, parsed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

HUB = "facebook/mask2former-swin-small-coco-instance"
DETECTOR = Weight(
    "mask2former-swin-small-coco-instance",
    "GenEval's detector, in Meta's own training",
    ("model.safetensors", "pytorch_model.bin"),
    "'other', as its page says",
    f"https://huggingface.co/{HUB}",
    hub=HUB,
)
CONFIG = Weight(
    "mask2former-swin-small-coco-instance-config",
    "GenEval's detector",
    ("config.json",),
    DETECTOR.licence,
    DETECTOR.source,
    hub=HUB,
)
METADATA = Weight(
    "geneval-prompts",
    "what GenEval's 553 prompts ask for",
    ("evaluation_metadata.jsonl",),
    "the GenEval code's",
    "https://raw.githubusercontent.com/djghosh13/geneval/main/prompts/evaluation_metadata.jsonl",
    # Drawn again by the rule that GenEval states (numpy's generator, seed 43), which gives 553 prompts and this file.
    sha256="5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13",
    size=85209,
)
# The numbering of the rows; `benchmarks.metrics.geneval` has the same.
CATEGORIES = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
WIDTH = 7  # class, score, x0, y0, x1, y1, colour
MOST = 16  # objects of a class whose colour is read
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHORT, LONG, MULTIPLE = 800, 1333, 32
MOST_OBJECTS = 100  # (query, class) pairs with the highest probabilities
FAINT = 0.3  # GenEval's lowest threshold: what lies below is no object under any of its rules
GREY = 153  # of the pixels outside an object's mask, where its colour is read
CROPS = 64  # that CLIP reads at a time
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
TEMPLATES = ("a photo of a {colour} {name}", "a photo of a {colour}-colored {name}", "a photo of a {colour} object")
# COCO's 80 classes in its order, three of them as GenEval calls them.
CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "computer mouse", "tv remote"),
    *("computer keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book"),
    *("clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)


class GenevalDetector(NetworkExtractor):
    """Outputs: `objects`, [100, 7] an image, and for captions `text`, the prompt's rule. Images of one size only."""

    name = "geneval-meta"
    version = 1
    paper = "Cheng et al., Mask2Former, arXiv 2112.01527; Ghosh et al., GenEval, arXiv 2310.11513"
    verified = "layout"
    outputs = ("objects",)
    preprocess = f"short-side-aa-bilinear-uint8-{SHORT}-{LONG}-pad-{MULTIPLE}/imagenet-mean-std"
    weights = (DETECTOR, CONFIG, METADATA, *ClipVitL14.weights)
    reader: Any = None  # of colours
    rules: dict[str, list[float]]  # prompt -> row

    def open(self, weights: Path | None, device: str = "cpu") -> GenevalDetector:
        path, config = locate(DETECTOR, weights), locate(CONFIG)
        identity = verify(DETECTOR, path)
        opened = self.with_network(_detector(path, config), identity, device)
        opened.reader = ClipVitL14().open(None, device)
        opened.rules = read_rules(locate(METADATA))
        pin(DETECTOR, path)
        pin(CONFIG, config)
        return opened

    def prepare(self, images: Tensor) -> Tensor:
        """As they are: colours are read at full size."""
        return three_channels(images)

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        import numpy as np

        objects = np.full((len(prepared), MOST_OBJECTS, WIDTH), -1, np.float32)
        with full_precision():
            for at, image in enumerate(prepared):
                rows, masks = self._detected(image)
                rows[:, -1] = self._colours(image, rows, masks)
                objects[at, : len(rows)] = rows
        return {"objects": objects}

    def _detected(self, image: Tensor) -> tuple[np.ndarray, Tensor]:
        """Rows of the objects above the lowest threshold, and their masks [objects, H, W]."""
        import numpy as np
        import torch
        from torch.nn.functional import interpolate
        from torchvision.transforms.v2 import functional

        height, width = image.shape[1:]
        scale = min(SHORT / min(height, width), LONG / max(height, width))
        inner = [round(height * scale), round(width * scale)]
        mode = functional.InterpolationMode.BILINEAR
        pixels = standardise(functional.resize(image.to(self.device)[None], inner, mode, antialias=True), MEAN, STD)
        below, right = (-side % MULTIPLE for side in inner)
        pixels = torch.nn.functional.pad(pixels, (0, right, 0, below))
        made = self.network(pixel_values=pixels)
        likely = made.class_queries_logits[0].softmax(-1)[:, : len(CLASSES)]
        best = likely.flatten().topk(min(MOST_OBJECTS, likely.numel()))
        chosen = best.indices[best.values > FAINT]  # the mask's score is at most 1
        if not len(chosen):
            return np.empty((0, WIDTH), np.float32), torch.empty((0, height, width), dtype=torch.bool)
        # Each mask at the padded size, without its padding, at the size of the image.
        levels = made.masks_queries_logits[0, chosen // len(CLASSES)][None]
        levels = interpolate(levels, pixels.shape[2:], mode="bilinear", align_corners=False)[
            ..., : inner[0], : inner[1]
        ]
        levels = interpolate(levels, (height, width), mode="bilinear", align_corners=False)[0]
        masks = levels > 0
        inside = (levels.sigmoid() * masks).flatten(1).sum(1) / (masks.flatten(1).sum(1) + 1e-6)
        scores = likely.flatten()[chosen] * inside
        clear = (scores > FAINT).nonzero().flatten()
        rows = torch.full((len(clear), WIDTH), -1.0)
        for at, index in enumerate(clear):
            down, across = masks[index].any(1).nonzero().flatten(), masks[index].any(0).nonzero().flatten()
            box = (across[0], down[0], across[-1] + 1, down[-1] + 1)
            rows[at, :6] = torch.tensor([float(chosen[index] % len(CLASSES)), float(scores[index]), *map(float, box)])
        return rows.numpy(), masks[clear]

    def _colours(self, image: Tensor, rows: np.ndarray, masks: Tensor) -> list[int]:
        """The colour of every object: the nearest of the ten to CLIP's embedding of its crop on grey."""
        import numpy as np
        import torch

        colours = [-1] * len(rows)
        for kind in np.unique(rows[:, 0]):
            of_kind = [at for at in np.argsort(-rows[:, 1], kind="stable") if rows[at, 0] == kind][:MOST]
            crops = []
            for at in of_kind:
                left, top, right, bottom = rows[at, 2:6].astype(int)
                shown = torch.where(masks[at].to(image.device), image, torch.full_like(image, GREY))
                crops.append(self.reader.prepare(shown[None, :, top:bottom, left:right]))
            embedded = [
                self.reader.extract(torch.cat(crops[first : first + CROPS]), ("image",))["image"]
                for first in range(0, len(crops), CROPS)
            ]
            words = self._colour_words(CLASSES[int(kind)])
            for at, nearest in zip(of_kind, (np.concatenate(embedded) @ words.T).argmax(axis=1), strict=True):
                colours[at] = int(nearest)
        return colours

    def _colour_words(self, name: str) -> np.ndarray:
        """[10, d]: for each colour the mean of the templates' directions, at length 1."""
        import numpy as np

        texts = [template.format(colour=colour, name=name) for colour in COLOURS for template in TEMPLATES]
        rows = self.reader.texts(texts)["text"]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        means = rows.reshape(len(COLOURS), len(TEMPLATES), -1).mean(axis=1)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        import numpy as np

        unknown = next((caption for caption in captions if caption not in self.rules), None)
        if unknown is not None:
            raise Fault(f"{self.name} judges GenEval's own {len(self.rules)} prompts; '{unknown}' is none of them")
        return {"text": np.array([self.rules[caption] for caption in captions]), "truncated": np.zeros(len(captions))}


def _detector(path: Path, config: Path) -> Any:
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation

    network = transformers_network(Mask2FormerForUniversalSegmentation, Mask2FormerConfig, path, config)
    if network.config.num_labels != len(CLASSES):
        raise Fault(
            f"{config} is of {network.config.num_labels} classes, GenEval's detector knows {len(CLASSES)} of COCO"
        )
    return network


def read_rules(path: Path) -> dict[str, list[float]]:
    """GenEval's list: each prompt with its row (category, two wanted objects, one unwanted)."""
    rules = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            asked = parsed(line)
            row = [float(CATEGORIES.index(asked["tag"]))]
            for wanted in [*asked["include"], None][:2]:
                row += _wanted(wanted) if wanted else [-1.0] * 4
            for unwanted in asked.get("exclude", [{}])[:1]:
                row += [_class(unwanted), float(unwanted["count"])] if unwanted else [-1.0, -1.0]
            rules[asked["prompt"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise Fault(f"{path}: line {number} is no prompt of GenEval: {error}") from None
    return rules


def _wanted(asked: dict[str, Any]) -> list[float]:
    colour = COLOURS.index(asked["color"]) if "color" in asked else -1
    relation = RELATIONS.index(asked["position"][0]) if "position" in asked else -1
    return [_class(asked), float(asked["count"]), float(colour), float(relation)]


def _class(asked: dict[str, Any]) -> float:
    return float(CLASSES.index(asked["class"]))

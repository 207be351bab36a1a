"""The miniature's image-text model: a small image tower and a small text tower, trained on `shapes` as CLIP is."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.features.base import Extractor
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from benchmarks.data.base import Dataset
    from sid.prompts import WordEncoder

STEPS, BATCH, RATE = 600, 128, 2e-3
WIDTH = 64
NOISE = 0.05  # added to the pixels in training: the images to be scored are not as clean


class ShapesClip(Extractor):
    """Outputs: `image` and `text` are the embeddings whose cosine is a score, `direction` is `image` at length 1, for
    distances, and `features` is the layer before `image`."""

    name = "shapes-clip"
    version = 1
    paper = "as Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020"
    verified = "weights"
    outputs = ("image", "direction", "features", "text")
    preprocess = "uint8/127.5-1"
    trained_here = True
    data = "shapes"
    network: Any = None
    words: Any = None  # the word encoder of the captions

    def open(self, weights: Path | None, device: str = "cpu") -> ShapesClip:
        raise Fault(f"{self.name} is trained inside a suite: `sidbench prepare` makes its folder")

    def trained(self, folder: Path, dataset: Dataset, device: str = "cpu") -> ShapesClip:
        from safetensors.torch import load_file

        opened = copy.copy(self)
        opened.words = _encoder(dataset)
        opened.network = _towers().to(device)
        opened.network.load_state_dict(load_file(folder / "network.safetensors"))
        opened.network.eval().requires_grad_(False)
        return opened

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        return self.extract(images, ("image", "direction", "features"))

    def extract(self, prepared: Tensor, outputs: Collection[str]) -> dict[str, np.ndarray]:
        from torch.nn.functional import normalize

        features = self.network["trunk"](_pixels(prepared))
        image = self.network["image"](features)
        computed = {"features": features, "image": image, "direction": normalize(image, dim=1)}
        return {output: computed[output].cpu().numpy() for output in outputs}

    def texts(self, captions: Sequence[str], template: str = "") -> dict[str, np.ndarray]:
        import numpy as np
        import torch

        rows, inverse = np.unique([template + caption for caption in captions], return_inverse=True)
        with torch.no_grad():
            text = self.network["text"](_words(self.words, [str(row) for row in rows])).cpu().numpy()
        return {"text": text[inverse], "truncated": np.zeros(len(captions), bool)}

    def train(self, folder: Path, seed: int, dataset: Dataset) -> None:
        """Symmetric cross-entropy in batches of distinct captions; extractor.json gets the retrieval of two splits."""
        import torch
        from safetensors.torch import save

        from sid import atomic

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            towers = _towers()
            optimiser = torch.optim.Adam(towers.parameters(), lr=RATE)
            schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, STEPS)
            for images, words in _pairs(dataset, STEPS):
                optimiser.zero_grad()
                _contrast(towers, images + NOISE * torch.randn_like(images), words).backward()
                optimiser.step()
                schedule.step()
        towers.eval()
        opened = copy.copy(self)
        opened.words = _encoder(dataset)
        opened.network = towers.requires_grad_(False)
        atomic.write_bytes(folder / "network.safetensors", save(towers.state_dict()))
        described = {
            "name": self.name,
            "version": self.version,
            "seed": seed,
            "retrieval": {split: opened.retrieval(dataset, split) for split in ("heldout", "novel")},
        }
        atomic.write_json(folder / "extractor.json", described)

    def retrieval(self, world: Dataset, split: str) -> float:
        """How often the nearest of all captions is an image's own, for the images of a split."""
        import numpy as np
        import torch

        every = sorted(set(world.captions("world")))
        image = self(torch.from_numpy(world.images(split)))["image"]
        text = self.texts(every)["text"]
        image, text = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text))
        nearest = (image @ text.T).argmax(axis=1)
        truth = np.array([every.index(caption) for caption in world.captions(split)])
        return float((nearest == truth).mean())


def _pairs(world: Dataset, steps: int) -> Any:
    """Batches of images with their captions' words; no caption twice in a batch, so that no pair is a false negative.

    They have all combinations, the novel ones too: the extractor must know what the students were not trained on.
    """
    import torch

    pixels, captions = torch.from_numpy(world.images("world")), world.captions("world")
    places: dict[str, list[int]] = {}
    for place, caption in enumerate(captions):
        places.setdefault(caption, []).append(place)
    table = torch.tensor(list(places.values()))
    words = _words(_encoder(world), list(places))
    for _ in range(steps):
        chosen = torch.randperm(len(table))[:BATCH]
        shown = table[chosen, torch.randint(table.shape[1], (BATCH,))]
        yield _pixels(pixels[shown]), words[chosen]


def _contrast(towers: nn.ModuleDict, images: Tensor, words: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    image = functional.normalize(towers["image"](towers["trunk"](images)), dim=1)
    text = functional.normalize(towers["text"](words), dim=1)
    logits = image @ text.T / 0.07
    truth = torch.arange(len(logits))
    return (functional.cross_entropy(logits, truth) + functional.cross_entropy(logits.T, truth)) / 2


def _pixels(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1


def _encoder(world: Dataset) -> WordEncoder:
    from sid.prompts import WordEncoder

    return WordEncoder(world.vocabulary)


def _words(encoder: WordEncoder, captions: Sequence[str]) -> Tensor:
    """[B, 6 * width]: the word encoder's rows, one after another."""
    return encoder.encode(captions)["text"].flatten(1)


def _towers() -> nn.ModuleDict:
    from torch import nn

    trunk = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, 2, 1), nn.GELU(), nn.Conv2d(32, 64, 3, 2, 1), nn.GELU()),
        *(nn.Flatten(), nn.Linear(64 * 16, 128), nn.GELU(), nn.Linear(128, WIDTH), nn.GELU()),
    )
    text = nn.Sequential(nn.Linear(6 * 32, 128), nn.GELU(), nn.Linear(128, WIDTH))
    return nn.ModuleDict({"trunk": trunk, "image": nn.Linear(WIDTH, WIDTH), "text": text})

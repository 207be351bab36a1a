"""Small extractors in the place of Inception and of the CLIP towers, with their names."""

from typing import ClassVar

import numpy as np

from benchmarks.features.base import Extractor
from benchmarks.suite import components


class Colours(Extractor):
    """A small network in the place of Inception: block means; it counts the images it sees."""

    name, version, outputs, preprocess = "inception-tf", 1, ("pool3", "logits_unbiased"), "blocks"
    seen = 0

    def open(self, weights, device="cpu"):
        opened = Colours()
        opened.identity = "weights-a"
        return opened

    def random(self, seed, device="cpu"):
        opened = Colours()
        opened.identity = f"random-{seed}"
        return opened

    def prepare(self, images):
        import torch.nn.functional as F

        return F.adaptive_avg_pool2d(images.float(), 2).flatten(1)

    def __call__(self, prepared):
        Colours.seen += len(prepared)
        return {"pool3": prepared.numpy(), "logits_unbiased": prepared[:, :10].numpy()}


class Tower(Colours):
    """A caption's embedding tells its template: its length is all there is to it."""

    name, outputs = "clip-vit-g-14", ("image",)
    read: ClassVar[list] = []

    def __call__(self, prepared):
        return {"image": prepared.numpy()}

    def open(self, weights, device="cpu"):
        return type(self)()

    def texts(self, captions, template=""):
        Tower.read.append((self.name, template))
        lengths = np.array([[len(template + caption)] for caption in captions], dtype=float)
        embeddings = np.concatenate([lengths, np.ones((len(captions), 11))], axis=1)
        return {"text": embeddings, "truncated": lengths[:, 0] > 20}


def stand_in(monkeypatch, *towers):
    """`inception-tf` and the towers are replaced, their counts begin anew."""
    made = {name: type("Tower", (Tower,), {"name": name})() for name in towers}
    known = {**components.extractors(), "inception-tf": Colours(), **made}
    monkeypatch.setattr(components, "extractors", lambda: known)
    Colours.seen, Tower.read = 0, []

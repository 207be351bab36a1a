"""The miniature's feature network: a small classifier of the digits, trained on the training split."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.features.base import Extractor
from sid.fault import Fault

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from benchmarks.data.base import Dataset

STEPS, BATCH, RATE = 600, 128, 2e-3


class DigitsClassifier(Extractor):
    """An MLP 64-256-32-10 with ReLU; `features` are the 32 values before the last layer."""

    name = "digits-classifier"
    version = 1
    verified = "weights"
    outputs = ("features", "logits")
    preprocess = "uint8/127.5-1"
    trained_here = True
    data = "digits"
    network: Any = None

    def open(self, weights: Path | None, device: str = "cpu") -> DigitsClassifier:
        raise Fault(f"{self.name} is trained inside a suite: `sidbench prepare` makes its folder")

    def trained(self, folder: Path, dataset: Dataset, device: str = "cpu") -> DigitsClassifier:
        from safetensors.torch import load_file

        opened = copy.copy(self)
        opened.network = _network().to(device)
        opened.network.load_state_dict(load_file(folder / "network.safetensors"))
        opened.network.eval().requires_grad_(False)
        return opened

    def __call__(self, images: Tensor) -> dict[str, np.ndarray]:
        features = self.network[:-1](_pixels(images))
        return {"features": features.cpu().numpy(), "logits": self.network[-1](features).cpu().numpy()}

    def train(self, folder: Path, seed: int, dataset: Dataset) -> None:
        """Adam on noisy copies of the training split; extractor.json states the held-out accuracy."""
        import torch
        from safetensors.torch import save

        from sid import atomic

        images, labels = (torch.from_numpy(read("train")) for read in (dataset.images, dataset.labels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _network()
            optimiser = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=1e-4)
            for _ in range(STEPS):
                chosen = torch.randint(len(images), (BATCH,))
                pixels = _pixels(images[chosen])
                noisy = pixels + 0.1 * torch.randn_like(pixels)
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(network(noisy), labels[chosen]).backward()
                optimiser.step()
        network.eval()
        heldout, truth = (torch.from_numpy(read("heldout")) for read in (dataset.images, dataset.labels))
        with torch.no_grad():
            accuracy = (network(_pixels(heldout)).argmax(1) == truth).double().mean().item()
        atomic.write_bytes(folder / "network.safetensors", save(network.state_dict()))
        described = {"name": self.name, "version": self.version, "seed": seed, "heldout_accuracy": accuracy}
        atomic.write_json(folder / "extractor.json", described)


def _pixels(images: Tensor) -> Tensor:
    return images.flatten(1).float() / 127.5 - 1


def _network() -> nn.Sequential:
    from torch import nn

    layers = (nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 10))
    return nn.Sequential(*layers)

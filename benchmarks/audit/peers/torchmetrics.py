"""torchmetrics: torch-fidelity's network, antialiased by default since 1.8, results cast to float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.audit.peer import GivenNetwork, Peer, PeerCall, PeerNetwork
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.metrics import mmd
from benchmarks.metrics.inception_score import one_split

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

ARITHMETIC = PeerRecipe(precision="float32 result", root="eigvals")


class Torchmetrics(Peer):
    """Lightning AI."""

    name = "torchmetrics"
    package = "torchmetrics"

    def distances(self) -> dict[str, PeerCall]:
        import torch
        from torchmetrics.image.fid import FrechetInceptionDistance

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            metric = FrechetInceptionDistance(feature=_identity(images.shape[1]), normalize=True)
            metric.update(torch.from_numpy(reference), real=True)
            metric.update(torch.from_numpy(images), real=False)
            return float(metric.compute())

        return {"FrechetInceptionDistance": PeerCall(run, ARITHMETIC)}

    def kernels(self, subset: int) -> dict[str, PeerCall]:
        import numpy as np
        import torch
        from torchmetrics.image.kid import KernelInceptionDistance

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            metric = KernelInceptionDistance(
                feature=_identity(images.shape[1]), subsets=100, subset_size=subset, normalize=True
            )
            metric.update(torch.from_numpy(reference), real=True)
            metric.update(torch.from_numpy(images), real=False)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return float(metric.compute()[0])

        def twin(images: np.ndarray, reference: np.ndarray) -> float:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                values = []
                for _ in range(100):  # the reference's permutation is drawn first
                    compared, chosen = (
                        part[torch.randperm(len(part))[:subset].numpy()] for part in (reference, images)
                    )
                    values.append(mmd.cubic_mmd(chosen, compared))
            return float(np.mean(values))

        return {"KernelInceptionDistance": PeerCall(run, twin=twin)}

    def scores(self) -> dict[str, PeerCall]:
        import numpy as np
        import torch
        from torchmetrics.image.inception import InceptionScore

        def run(logits: np.ndarray) -> float:
            metric = InceptionScore(feature=_identity(logits.shape[1]), splits=10)
            metric.update(torch.from_numpy(logits))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return float(metric.compute()[0])

        def twin(logits: np.ndarray) -> float:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                order = torch.randperm(len(logits)).chunk(10)
            return float(np.mean([one_split(logits[part.numpy()]) for part in order]))

        return {"InceptionScore": PeerCall(run, twin=twin)}

    def networks(self, given: GivenNetwork) -> dict[str, PeerNetwork]:
        """It documents tensors as its input, and has no reader of files."""
        import torch
        from torchmetrics.image.fid import NoTrainInceptionV3

        def with_antialias(antialias: bool) -> Any:
            model = NoTrainInceptionV3("given", [str(given.tap)], str(given.file), antialias=antialias)
            return model.to(memory_format=torch.channels_last)

        return {
            "antialias=True": PeerNetwork(
                None, with_antialias(True), PeerRecipe(resize="antialiased", precision="float32 result", root="eigvals")
            ),
            "antialias=False": PeerNetwork(None, with_antialias(False), ARITHMETIC),
        }


def _identity(width: int) -> Any:
    """A network that returns its input; the metric reads its number of features."""
    import torch

    class Identity(torch.nn.Module):
        num_features = width

        def forward(self, features: Tensor) -> Tensor:
            return features

    return Identity()

"""pytorch-fid: bilinear without antialiasing, v/127.5-1, scipy's sqrtm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.audit.peer import GivenNetwork, Peer, PeerCall, image_batches
from benchmarks.audit.peer_recipe import PeerRecipe

if TYPE_CHECKING:
    import numpy as np

RECIPE = PeerRecipe(resize="bilinear", normalisation="v/127.5-1", root="sqrtm")


class PytorchFid(Peer):
    """Seitzer."""

    name = "pytorch-fid"
    package = "pytorch-fid"

    def distances(self) -> dict[str, PeerCall]:
        import numpy as np
        from pytorch_fid.fid_score import calculate_frechet_distance

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            sides = [part.astype(np.float64) for part in (images, reference)]  # as its own arrays are
            (m1, s1), (m2, s2) = ((np.mean(part, axis=0), np.cov(part, rowvar=False)) for part in sides)
            return calculate_frechet_distance(m1, s1, m2, s2)

        return {"calculate_frechet_distance": PeerCall(run, PeerRecipe(root="sqrtm"))}

    def networks(self, given: GivenNetwork) -> dict[str, PeerCall]:
        import numpy as np
        import torch

        from benchmarks.audit.networks import pytorch_fid_model

        model: Any = pytorch_fid_model(given.state, given.tap)

        def run(folder: Path) -> np.ndarray:
            with torch.inference_mode():
                parts = [model(batch.float() / 255)[0].mean((2, 3)).numpy() for batch in image_batches(folder)]
            return np.concatenate(parts)

        return {"InceptionV3": PeerCall(run, RECIPE)}

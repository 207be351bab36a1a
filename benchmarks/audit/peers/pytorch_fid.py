"""pytorch-fid: bilinear without antialiasing, v/127.5-1, scipy's sqrtm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.audit.peer import GivenNetwork, Peer, PeerCall, PeerNetwork, read_files
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pixels import PixelSet

if TYPE_CHECKING:
    from torch import Tensor

RECIPE = PeerRecipe(resize="bilinear", normalisation="v/127.5-1", root="sqrtm")


class PytorchFid(Peer):
    """Seitzer."""

    name = "pytorch-fid"
    package = "pytorch-fid"

    def distances(self) -> dict[str, PeerCall]:
        from pytorch_fid.fid_score import calculate_frechet_distance

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            sides = [part.astype(np.float64) for part in (images, reference)]  # as its own arrays are
            (m1, s1), (m2, s2) = ((np.mean(part, axis=0), np.cov(part, rowvar=False)) for part in sides)
            return calculate_frechet_distance(m1, s1, m2, s2)

        return {"calculate_frechet_distance": PeerCall(run, PeerRecipe(root="sqrtm"))}

    def networks(self, given: GivenNetwork) -> dict[str, PeerNetwork]:
        from benchmarks.audit.networks import pytorch_fid_model

        model: Any = pytorch_fid_model(given.state, given.tap)

        def run(pixels: Tensor) -> Tensor:
            return model(pixels.float() / 255)[0].mean((2, 3))

        return {"InceptionV3": PeerNetwork(_read, run, RECIPE)}


def _read(folder: Path) -> PixelSet:
    """The files that its own function lists, as its own data set decodes them."""
    from pytorch_fid import fid_score

    listed: list[Any] = []

    def take(files: list[Any], *_: Any) -> tuple[None, None]:
        listed.extend(files)
        return None, None

    with patch.object(fid_score, "calculate_activation_statistics", take):
        fid_score.compute_statistics_of_path(str(folder), None, 1, 2048, "cpu")
    dataset = fid_score.ImagePathDataset(listed)
    return read_files(folder, listed, lambda index: np.asarray(dataset[index]).transpose(2, 0, 1))

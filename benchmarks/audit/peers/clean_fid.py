"""clean-fid: three modes, scipy's sqrtm, means in float32."""

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

MODES = {
    "clean": PeerRecipe(resize="clean", precision="float32 mean", root="sqrtm"),
    "legacy_tensorflow": PeerRecipe(precision="float32 mean", root="sqrtm"),
    "legacy_pytorch": PeerRecipe(resize="bilinear", normalisation="v/127.5-1", precision="float32 mean", root="sqrtm"),
}
TWIN = "Its loader and arithmetic; our network with the same weights stands in the place of NVIDIA's TorchScript file."


class CleanFid(Peer):
    """Parmar et al."""

    name = "clean-fid"
    package = "clean-fid"

    def distances(self) -> dict[str, PeerCall]:
        from cleanfid.fid import fid_from_feats

        return {"fid_from_feats": PeerCall(fid_from_feats, PeerRecipe(precision="float32 mean", root="sqrtm"))}

    def kernels(self, subset: int) -> dict[str, PeerCall]:
        from cleanfid.fid import kernel_distance

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            state = np.random.get_state()
            np.random.seed(0)  # it draws from numpy's global generator
            try:
                return kernel_distance(images, reference, num_subsets=100, max_subset_size=subset)
            finally:
                np.random.set_state(state)

        return {"kernel_distance": PeerCall(run, compatible={"seed": 0, "reference_first": True, "shrink": True})}

    def resizes(self) -> dict[str, PeerCall]:
        import torch
        from cleanfid.resize import build_resizer

        def with_mode(mode: str) -> Any:
            resize = build_resizer(mode)

            def run(images: Tensor) -> Tensor:
                resized = [resize(image.permute(1, 2, 0).numpy()) for image in images]
                return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)

            return run

        return {f"build_resizer {mode}": PeerCall(with_mode(mode), MODES[mode]) for mode in ("clean", "legacy_pytorch")}

    def networks(self, given: GivenNetwork) -> dict[str, PeerNetwork]:
        import torch
        from cleanfid.resize import build_resizer

        from benchmarks.audit.networks import clean_fid_models

        models = clean_fid_models(given.state, given.tap)

        def with_mode(mode: str) -> Any:
            resize = build_resizer(mode)

            def run(pixels: Tensor) -> Tensor:
                made = [np.asarray(resize(image.permute(1, 2, 0).numpy()), np.float32) for image in pixels]
                return models[mode](torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2))

            return run

        # The legacy_pytorch mode has its network in Python; the others load NVIDIA's TorchScript file.
        own = {mode: "" if mode == "legacy_pytorch" else TWIN for mode in MODES}
        return {mode: PeerNetwork(_read, with_mode(mode), recipe, own[mode]) for mode, recipe in MODES.items()}


def _read(folder: Path) -> PixelSet:
    """The files that its own function lists, as its own data set decodes them."""
    from cleanfid import fid
    from cleanfid.utils import ResizeDataset

    listed: list[str] = []
    with patch.object(fid, "get_files_features", lambda files, *_, **__: listed.extend(files)):
        fid.get_folder_features(str(folder), verbose=False)
    dataset, decoded = ResizeDataset(listed, "legacy_tensorflow"), dict[int, np.ndarray]()

    def pixels_of(index: int) -> np.ndarray:
        dataset.custom_image_tranform = lambda pixels: decoded.setdefault(index, pixels)  # the name is spelled so
        dataset[index]
        return decoded.pop(index).transpose(2, 0, 1)

    return read_files(folder, listed, pixels_of)

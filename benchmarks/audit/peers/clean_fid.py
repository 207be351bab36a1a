"""clean-fid: three modes, scipy's sqrtm, means in float32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.audit.peer import GivenNetwork, Peer, PeerCall
from benchmarks.audit.peer_recipe import PeerRecipe

if TYPE_CHECKING:
    import numpy as np
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
        import numpy as np
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
        import numpy as np
        import torch
        from cleanfid.resize import build_resizer

        def with_mode(mode: str) -> Any:
            resize = build_resizer(mode)

            def run(images: Tensor) -> Tensor:
                resized = [resize(image.permute(1, 2, 0).numpy()) for image in images]
                return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)

            return run

        return {f"build_resizer {mode}": PeerCall(with_mode(mode), MODES[mode]) for mode in ("clean", "legacy_pytorch")}

    def networks(self, given: GivenNetwork) -> dict[str, PeerCall]:
        import torch
        from cleanfid.fid import get_folder_features

        from benchmarks.audit.networks import clean_fid_models

        models = clean_fid_models(given.state, given.tap)

        def with_mode(mode: str) -> Any:
            def run(folder: Path) -> np.ndarray:
                return get_folder_features(
                    str(folder),
                    models[mode],
                    num_workers=0,
                    batch_size=1,  # its loader can't stack images of several sizes
                    device=torch.device("cpu"),
                    mode=mode,
                    verbose=False,
                )

            return run

        # The legacy_pytorch mode has its network in Python; the others load NVIDIA's TorchScript file.
        own = {mode: "" if mode == "legacy_pytorch" else TWIN for mode in MODES}
        return {mode: PeerCall(with_mode(mode), recipe, note=own[mode]) for mode, recipe in MODES.items()}

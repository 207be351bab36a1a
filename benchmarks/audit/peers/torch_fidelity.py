"""torch-fidelity: TF1-like resize, eigenvalues of the product, seeded subsets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.audit.peer import GivenNetwork, Peer, PeerCall, PeerNetwork, read_files
from benchmarks.audit.peer_recipe import PeerRecipe
from benchmarks.audit.pixels import PixelSet

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

RECIPE = PeerRecipe(precision="float32 mean", root="eigvals")


class TorchFidelity(Peer):
    """Obukhov et al."""

    name = "torch-fidelity"
    package = "torch-fidelity"

    def distances(self) -> dict[str, PeerCall]:
        import torch
        from torch_fidelity import metric_fid

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            sides = [metric_fid.fid_features_to_statistics(torch.from_numpy(part)) for part in (images, reference)]
            return metric_fid.fid_statistics_to_metric(*sides, False)["frechet_inception_distance"]

        return {"fid_statistics_to_metric": PeerCall(run, RECIPE)}

    def kernels(self, subset: int) -> dict[str, PeerCall]:
        import torch
        from torch_fidelity.metric_kid import kid_features_to_metric

        def run(images: np.ndarray, reference: np.ndarray) -> float:
            sides = [torch.from_numpy(part) for part in (images, reference)]
            scores = kid_features_to_metric(*sides, kid_subset_size=subset, kid_subsets=100, verbose=False)
            return scores["kernel_inception_distance_mean"]

        return {"kid_features_to_metric": PeerCall(run, compatible={"seed": 2020})}

    def scores(self) -> dict[str, PeerCall]:
        import torch
        from torch_fidelity.metric_isc import isc_features_to_metric

        def run(logits: np.ndarray) -> float:
            return isc_features_to_metric(torch.from_numpy(logits))["inception_score_mean"]

        return {"isc_features_to_metric": PeerCall(run, compatible={"shuffle": 2020})}

    def neighbours(self) -> dict[str, PeerCall]:
        import torch
        from torch_fidelity.metric_prc import prc_features_to_metric

        def run(images: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
            sides = [torch.from_numpy(part) for part in (images, reference)]
            scores = prc_features_to_metric(
                *sides, prc_neighborhood=3, prc_batch_size=1000, save_cpu_ram=False, verbose=False
            )
            return scores["precision"], scores["recall"]

        return {"prc_features_to_metric": PeerCall(run)}

    def resizes(self) -> dict[str, PeerCall]:
        from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

        def run(images: Tensor) -> Tensor:
            return interpolate_bilinear_2d_like_tensorflow1x(images.float(), size=(299, 299), align_corners=False)

        return {"interpolate_bilinear_2d_like_tensorflow1x": PeerCall(run, RECIPE)}

    def networks(self, given: GivenNetwork) -> dict[str, PeerNetwork]:
        from benchmarks.audit.networks import fidelity_model

        model: Any = fidelity_model(str(given.file), [str(given.tap)])
        return {"FeatureExtractorInceptionV3": PeerNetwork(_read, lambda pixels: model(pixels)[0], RECIPE)}


def _read(folder: Path) -> PixelSet:
    """The files that it finds with its defaults, as its own data set decodes them."""
    from torch_fidelity.datasets import ImagesPathDataset
    from torch_fidelity.defaults import DEFAULTS
    from torch_fidelity.utils import glob_samples_paths

    find = (DEFAULTS[key] for key in ("samples_find_deep", "samples_find_ext", "samples_ext_lossy"))
    listed = glob_samples_paths(str(folder), *find, verbose=False)
    dataset = ImagesPathDataset(listed)
    return read_files(folder, listed, lambda index: dataset[index].numpy())

"""The miniature's network: a residual MLP under EDM preconditioning, modulated by time and class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.teacher import Teacher

if TYPE_CHECKING:
    from sid.denoiser import Denoiser


class Mlp(Teacher):
    name = "mlp"
    version = 1
    process = "edm"
    features = True
    verified = "weights"  # it has no published weights; the suite trains them
    licence = "Apache-2.0"

    def build(self, settings: dict[str, Any]) -> Denoiser:
        from sid.denoiser import Denoiser
        from sid.noise import Edm
        from sid.teachers.mlp_network import MlpNetwork

        settings = dict(settings)
        sigma_data = settings.pop("sigma_data", 0.5)
        network = MlpNetwork(**settings)
        return Denoiser(network, Edm(sigma_data), "edm", self.name, {**settings, "sigma_data": sigma_data})

    def load(self, folder: Path) -> Denoiser:
        from safetensors.torch import load_file

        denoiser = self.build(json.loads((folder / "teacher.json").read_text())["settings"])
        denoiser.network.load_state_dict(load_file(folder / "network.safetensors"))
        return denoiser.eval().requires_grad_(False)

"""The EDM2 family: the magnitude-preserving network on the latents of an image autoencoder (Karras et al. 2023).

Written from the paper. Names were compared with the publishers' source and sizes with the paper's table; no published
file was opened and no published output reproduced.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sid.discovery import UnknownName
from sid.fault import Fault
from sid.teacher import Teacher

if TYPE_CHECKING:
    from sid.denoiser import Denoiser

# Arguments of the published preconditioner; all others belong to the network.
PRECONDITIONER = {"use_fp16": False, "sigma_data": 0.5, "logvar_channels": 128}


class Edm2(Teacher):
    name = "edm2"
    version = 1
    paper = "Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, arXiv 2312.02696"
    verified = "layout"
    process = "edm"
    features = True
    licence = "CC BY-NC-SA 4.0 (NVIDIA's published EDM2 weights)"

    def build(self, settings: dict[str, Any]) -> Denoiser:
        from sid.denoiser import Denoiser
        from sid.noise import Edm
        from sid.teachers.edm import refuse_absurd
        from sid.teachers.edm_networks.edm2 import Edm2Network, Edm2Settings

        known = {field.name for field in fields(Edm2Settings)}
        for key in settings:
            if key not in known and key not in PRECONDITIONER:
                raise UnknownName("setting of edm2", key, known | set(PRECONDITIONER))
        for required in ("img_resolution", "img_channels"):
            if settings.get(required) is None:
                raise Fault(f"edm2 needs the setting {required}")
        refuse_absurd(settings)
        wrap = {**PRECONDITIONER, **{key: value for key, value in settings.items() if key in PRECONDITIONER}}
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()
        }
        network_settings = Edm2Settings(**{key: value for key, value in given.items() if key in known})
        network = Edm2Network(network_settings, wrap["logvar_channels"], bool(wrap["use_fp16"]))
        return Denoiser(network, Edm(sigma_data=wrap["sigma_data"]), "edm", self.name, dict(settings))

    def load(self, folder: Path) -> Denoiser:
        import torch

        from sid.teachers.edm import describe, fill

        described = describe(folder, self.name)
        with torch.device("meta"):
            denoiser = self.build(described["settings"])
        fill(denoiser.network, folder)
        return denoiser.eval().requires_grad_(False)
